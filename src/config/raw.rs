//! A job file as typed: every setting there is, with the text that explains it.
//!
//! The lines below are the only list of settings. A key that is not here is refused with the
//! nearest one that is; the comments are printed by `watershed check --keys` and are the text of
//! `docs/config.md`. Nothing is judged here: values, ranges and sense are for
//! [`checked`](super::checked).

mod reading;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use super::document::Value;
use super::fault::Place;
use super::secret;

/// A setting as given.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Given {
    /// Section and key, for messages.
    pub(super) name: String,
    /// The value as typed.
    pub(super) value: Value,
    /// Where.
    pub(crate) place: Place,
}

impl fmt::Debug for Given {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match secret::is_secret(&self.name) {
            true => write!(f, "{} = (not shown)", self.name),
            false => write!(f, "{} = {:?}", self.name, self.value),
        }
    }
}

/// A setting that exists.
#[derive(Debug)]
pub(crate) struct Key {
    /// Its name in its section.
    pub(crate) name: &'static str,
    /// What it means, its default and its range; one line each.
    pub(crate) about: &'static [&'static str],
}

/// A section that exists.
#[derive(Debug)]
pub(crate) struct Section {
    /// Its path.
    pub(crate) path: &'static str,
    /// What it is about.
    pub(crate) about: &'static [&'static str],
    /// Whether it takes any `properties.…` of a client library.
    pub(crate) open: bool,
    /// Its settings.
    pub(crate) keys: &'static [Key],
}

/// Makes, per section, a struct of what was given and a row of [`SECTIONS`].
macro_rules! sections {
    ($(
        $(#[doc = $about:literal])+
        $kind:ident $path:literal open: $open:literal {
            $( $(#[doc = $doc:literal])+ $key:literal $field:ident, )+
        }
    )+;
    // Sections with the settings of another one.
    $(
        $(#[doc = $alike_about:literal])+
        $alike_kind:ident $alike:literal open: $alike_open:literal;
    )*) => {
        $(
            $(#[doc = $about])+
            #[derive(Debug, Default)]
            pub(crate) struct $kind {
                $( $(#[doc = $doc])+ pub(crate) $field: Option<Given>, )+
                /// What is handed to a client library, by name without `properties.`.
                pub(crate) properties: BTreeMap<String, Given>,
            }

            impl $kind {
                const KEYS: &'static [Key] = &[$( Key { name: $key, about: &[$($doc),+] } ),+];
            }

            impl SectionValues for $kind {
                fn slot(&mut self, key: &str) -> Option<&mut Option<Given>> {
                    match key {
                        $( $key => Some(&mut self.$field), )+
                        _ => None,
                    }
                }

                fn properties(&mut self) -> &mut BTreeMap<String, Given> {
                    &mut self.properties
                }
            }
        )+

        /// All sections with all their settings.
        pub(crate) const SECTIONS: &[Section] = &[$(
            Section {
                path: $path,
                about: &[$($about),+],
                open: $open,
                keys: $kind::KEYS,
            }
        ),+ $(,
            Section {
                path: $alike,
                about: &[$($alike_about),+],
                open: $alike_open,
                keys: $alike_kind::KEYS,
            }
        )*];
    };
}

/// What the sections have in common.
trait SectionValues {
    fn slot(&mut self, key: &str) -> Option<&mut Option<Given>>;
    fn properties(&mut self) -> &mut BTreeMap<String, Given>;
}

sections! {
    /// The process as a whole.
    Watershed "watershed" open: false {
        /// Directory that holds state, topics and tables. Default `./watershed-data`.
        /// The flag `--data` goes before it.
        "data" data,
        /// Worker threads. Default: the cores of the machine; 1 to 1024.
        /// The flag `--workers` goes before it.
        "workers" workers,
        /// Form of the business database: 2022.
        "generation" generation,
        /// Zone of all dates and times in results. Default `Asia/Shanghai`.
        "time_zone" time_zone,
        /// Name of the business database; changes of others are dropped. Default `gmall2022`.
        "database" database,
    }

    /// How the engine runs. No setting here changes a result.
    Engine "engine" open: false {
        /// Time between two checkpoints; results become visible at this pace.
        /// Default `1s`; `1ms` to `1h`.
        "epoch.interval" epoch_interval,
        /// Epochs of a group that are closed and not complete; more are not begun.
        /// Default 3; 1 to 16.
        "epoch.inflight_max" epoch_inflight_max,
        /// Batches of 1024 rows that an operator takes before it lets the others of its worker have
        /// their turn. Default 64; 1 to 4096.
        "operator.budget" operator_budget,
        /// Bytes of batches under way above which sources stop. Default `64MiB`; from `16MiB`.
        "memory.inflight_max" memory_inflight_max,
        /// Bytes of operators' state in memory above which the process stops and says whose they are.
        /// Default half of the memory of the machine, or of the control group; from `16MiB`.
        "state.memory_max" state_memory_max,
        /// Bytes a source reads ahead, per worker. Default `1MiB`; `256KiB` to `1GiB`.
        "source.queue_bytes" source_queue_bytes,
        /// Size at which a file of the outbox or of an embedded topic is full.
        /// Default `256MiB`; `1MiB` to `4GiB`.
        "outbox.segment_bytes" outbox_segment_bytes,
        /// Bytes that may wait for a sink; beyond it its jobs stop reading until enough is delivered,
        /// and others go on. Default `8GiB`; from `1MiB`.
        "outbox.bytes_max" outbox_bytes_max,
        /// Delivery units (mostly one an epoch and worker) that may wait for a sink, likewise.
        /// Default 10000; up to 1000000.
        "outbox.units_max" outbox_units_max,
        /// How long an epoch may be incomplete, or rows wait for a sink, before a warning says what
        /// holds it. Default `10s`; `1s` to `1d`.
        "stall.warn" stall_warn,
        /// The same for an error. Default `30s`; `1s` to `1d`.
        "stall.error" stall_error,
        /// The same for ending the process, which the supervisor starts again; only for epochs.
        /// Default `0s` = never; up to `1d`.
        "stall.restart" stall_restart,
        /// Failures within 10 minutes after which the supervisor gives up. Default 10; 1 to 1000.
        "restart.max" restart_max,
        /// Longest time a stop may take. Default `30s`; `1s` to `10m`.
        "shutdown.limit" shutdown_limit,
    }

    /// What the warehouse means by its words; each of these changes results.
    Switch "switch" open: false {
        /// Form of display and action records: `nested` (default), `wrapped`, `flat`.
        "log_split.shape" log_split_shape,
        /// Who wins where an element and its page have a member of one name; only with shape `flat`:
        /// `element` (default), `page`.
        "log_split.flat_clash" log_split_flat_clash,
        /// What an error record holds: `whole` (default), `sub_object`, `sub_object_ts`.
        "log_split.err" log_split_err,
        /// Time of an action record: `own` (default), `page`, `none`.
        "log_split.action_ts" log_split_action_ts,
        /// How long a device's first visit is remembered: `none` (default, for ever).
        "is_new.ttl" is_new_ttl,
        /// How far ahead of the clock a record may be and still move the watermark.
        /// Default `10m`; up to `365d`.
        "source.future_hold" source_future_hold,
        /// How far ahead of the clock a record may be at all; others go to the side output `future`.
        /// Default `1d`; up to `36500d`, not below `source.future_hold`.
        "source.future_skew" source_future_skew,
        /// How much later than a younger record an older one may come and be on time.
        /// Default `3s`; up to `1h`.
        "source.bound" source_bound,
        /// Silence after which a partition no longer holds back the others. Default `30s`; up to
        /// `1d`, `0` = never.
        "source.idle_timeout" source_idle_timeout,
        /// Where a source begins that has neither a saved position nor a startup mode:
        /// `earliest` (default), `latest`, `timestamp`.
        "source.start" source_start,
        /// Time within which a second page must follow, or the visit was a jump.
        /// Default `10s`; `1ms` to `1h`.
        "user_jump.within" user_jump_within,
        /// Disorder that user jump sorts out. Default `3s`; up to `1h`.
        "user_jump.out_of_orderness" user_jump_out_of_orderness,
        /// Length of a window. Default `10s`; `1s` to `1d`, a divisor of the day.
        "dws.window" dws_window,
        /// How long after its end a window takes late rows. Default `0s`; up to `1d`.
        "dws.lateness" dws_lateness,
        /// Date of a result row: `window` (default).
        "dws.cur_date" dws_cur_date,
        /// Whether time goes on when all inputs are silent: `off` (default).
        "time.advance_when_idle" time_advance_when_idle,
        /// What a deleted row of the business database does to its dimension: `delete` (default, the
        /// row goes), `ignore`, `upsert` (the row is written as it was).
        "dim.delete" dim_delete,
        /// What an updated config row does: `alter_add` (default, it takes effect; columns that its
        /// table lacks are added, nothing is dropped), `recreate` (its table is dropped with all rows
        /// and made anew, also with another key; a back-fill brings back what can be read again; not
        /// with `dim.shared_sink = "on"`), `ignore` (nothing, counted `config_ignored`;
        /// rows that are inserted and deleted take effect, by the names they have then).
        "dim.config_update" dim_config_update,
        /// What becomes of rows that come while their config row is on its way: `hold` (default, the
        /// first rows wait for the first configuration, others for their table), `drop` (counted
        /// `no_config`; only with `dim.backfill = "off"`).
        "dim.config_late" dim_config_late,
        /// Whether a table, or a topic of facts, that is configured late is filled with the changes that
        /// came before: `on` (default, `ods_db` is read again for it), `off`.
        "dim.backfill" dim_backfill,
        /// Whether a back-fill deletes rows that a snapshot of the source table lacks: `off` (default;
        /// a back-fill reads the changes again, and the deletions among them apply).
        "dim.backfill_reconcile" dim_backfill_reconcile,
        /// Whether several source tables may feed one dimension table: `off` (default), `on` (with
        /// equal keys; the last write wins).
        "dim.shared_sink" dim_shared_sink,
        /// Schema of the dimension tables. Default: `none`.
        "dim.schema" dim_schema,
        /// Whether a fact that `table_process_dwd` routes ends with `ts`, the time of its change in
        /// seconds: `on` (default), `off`.
        "dwd_route.add_ts" dwd_route_add_ts,
    }

    /// Where app logs come from.
    OdsLog "source.ods_log" open: true {
        /// `embedded` (default), `kafka`, `file`. Kafka with the address `embedded` is embedded.
        "connector" connector,
        /// Name of the topic. Default `ods_log`.
        "topic" topic,
        /// The file to read, for connector `file`.
        "path" path,
        /// Where to begin without a saved position: `earliest-offset`, `latest-offset`,
        /// `timestamp`. Default: as `source.start` says.
        "scan.startup.mode" scan_startup_mode,
        /// For mode `timestamp`: milliseconds since 1970.
        "scan.startup.timestamp-millis" scan_startup_timestamp_millis,
        /// What to do when the topic no longer has the saved position: `stop` (default), `earliest`,
        /// `latest`.
        "on-lost-position" on_lost_position,
    }

    /// Where the changes of the business database come from (Maxwell's JSON). Giving this section
    /// makes the dimensions run.
    OdsDb "source.ods_db" open: true {
        /// `embedded` (default), `kafka`, `file`. Kafka with the address `embedded` is embedded.
        "connector" connector,
        /// Name of the topic. Default `ods_db`.
        "topic" topic,
        /// The file to read, for connector `file`.
        "path" path,
        /// Where to begin without a saved position: `earliest-offset`, `latest-offset`,
        /// `timestamp`. Default: as `source.start` says.
        "scan.startup.mode" scan_startup_mode,
        /// For mode `timestamp`: milliseconds since 1970.
        "scan.startup.timestamp-millis" scan_startup_timestamp_millis,
        /// What to do when the topic no longer has the saved position: `stop` (default), `earliest`,
        /// `latest`.
        "on-lost-position" on_lost_position,
    }

    /// Where the configuration of the dimensions comes from, row by row (Debezium's JSON, or the
    /// table itself). It is always read from its beginning. Giving this section makes the
    /// dimensions run.
    TableProcess "source.table_process" open: true {
        /// `embedded` (default, a topic of one partition), `kafka`, `mysql`, `file`. Kafka with the
        /// address `embedded` is embedded.
        "connector" connector,
        /// Name of the topic. Default: that of the section, without `source.`.
        "topic" topic,
        /// The file to read, for connector `file`.
        "path" path,
        /// Where to begin without a saved position: `initial` or `earliest-offset`, which are one
        /// here: all of it (default).
        "scan.startup.mode" scan_startup_mode,
        /// What to do when the saved position is lost: `stop` (default); with topics also `earliest`,
        /// `latest`; with MySQL also `snapshot` (the table is read again).
        "on-lost-position" on_lost_position,
        /// Name or address of the MySQL or MariaDB server.
        "hostname" hostname,
        /// Its port. Default 3306.
        "port" port,
        /// A user with SELECT on the table, REPLICATION CLIENT and REPLICATION SLAVE.
        "username" username,
        /// The user's password, as `"${NAME}"` from the environment. Default: none.
        "password" password,
        /// Database of the config table. Default `gmall_config`.
        "database-name" database_name,
        /// The config table. Default: the name of the section, without `source.`.
        "table-name" table_name,
        /// The id under which the server's log is read, unique among its readers; of a range such as
        /// `"5400-5404"` the first. Default: a random one at each start.
        "server-id" server_id,
        /// How long making a connection may take. Default `30s`.
        "connect.timeout" connect_timeout,
        /// How often the position of a table that nobody changes moves on. Default `30s`.
        "heartbeat.interval" heartbeat_interval,
        /// Silence after which a connection is taken for dead. Default `25s`; more than `10s`.
        "heartbeat.timeout" heartbeat_timeout,
    }

    /// Where the topics of the DWD layer go. A row that a Kafka topic does not take for its size goes to the `_dead` topic of its job.
    Topics "topics" open: true {
        /// `embedded` (default), `kafka`. Kafka with the address `embedded` is embedded.
        "connector" connector,
        /// Partitions of a topic that is not there yet. Default 4; 1 to 1024.
        "sink.topic.partitions" topic_partitions,
        /// Bytes of a partition of an embedded topic above which its oldest files go, as far as no
        /// job of this process still has to read them. Default `2GiB`; from `1MiB`, `0B` = all is
        /// kept.
        "retention.bytes" retention_bytes,
        /// What a job does that reads one of these topics, made by another process or earlier, when
        /// the topic no longer has the saved position: `stop` (default), `earliest`, `latest`.
        "on-lost-position" on_lost_position,
        /// Replicas of a Kafka topic that is not there yet. Default 1; 1 to 32.
        "sink.topic.replication" topic_replication,
        /// Text before the name of every topic written. Default: none.
        "prefix" prefix,
        /// Text before Kafka's transactional ids; two watersheds on one cluster must differ in it.
        /// Default: none.
        "sink.transactional-id-prefix" transactional_id_prefix,
        /// Kafka topic that says how much has been delivered. Default `__watershed_progress`.
        "sink.progress-topic" progress_topic,
    }

    /// Where the tables of the DIM layer are.
    Dim "store.dim" open: false {
        /// `embedded` (default).
        "connector" connector,
    }

    /// Where the tables of the DWS layer are.
    Dws "store.dws" open: false {
        /// `embedded` (default).
        "connector" connector,
    }

    /// One job; repeated. Without any `[[job]]` all jobs of the app logs run, and `dimensions` and
    /// `dwd_route` where a section says where their sources are.
    RawJob "job" open: false {
        /// Which: `ods_db`, `dimensions`, `dwd_route`, `log_split`, `unique_visitor`, `user_jump`,
        /// `dws_traffic_vc_ch_ar_is_new_page_view_window`, `dws_traffic_page_view_window`.
        /// `dimensions` and `dwd_route` bring `ods_db` along.
        "name" name,
        /// Whether its topics are written: `true` (default), `false`. What it computes is there for
        /// other jobs in either case.
        "publish" publish,
        /// As `retention.bytes` of `[topics]`, for the embedded topics of this job, except those that
        /// `table_process_dwd` names.
        "retention.bytes" retention_bytes,
    }
    ;
    /// Where the configuration of routed facts comes from, row by row: which table and type goes to
    /// which topic. In all as `[source.table_process]`. Giving this section makes `dwd_route` run.
    TableProcess "source.table_process_dwd" open: true;
}

/// A configuration as typed, file and environment together.
#[derive(Debug, Default)]
pub(crate) struct Raw {
    pub(crate) watershed: Watershed,
    pub(crate) engine: Engine,
    pub(crate) switch: Switch,
    pub(crate) ods_log: OdsLog,
    pub(crate) ods_db: OdsDb,
    pub(crate) table_process: TableProcess,
    pub(crate) table_process_dwd: TableProcess,
    pub(crate) topics: Topics,
    pub(crate) dim: Dim,
    pub(crate) dws: Dws,
    /// Each with the place where it begins.
    pub(crate) jobs: Vec<(Place, RawJob)>,
    /// Paths of the sections that are there, empty ones too.
    pub(crate) sections: BTreeSet<String>,
}
