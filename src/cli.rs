//! The command line: every command in one line, with an example.
//!
//! Flags say how the process runs; what the warehouse is stands in the job file. Wrong usage ends
//! with exit code 2, like a wrong file.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

use crate::config::checked::{Overrides, WORKERS_MAX};
use crate::injected::{CrashAt, PanicAt};
use crate::replay::EpochLength;

/// A real-time warehouse in one process: app logs in, DWD topics and DWS tables out, exactly once.
#[derive(Debug, Parser)]
#[command(
    name = "watershed",
    version,
    after_help = "Start with:  watershed demo\n\
                  Exit codes:  0 stopped as asked, 1 failed, 2 wrong usage or configuration, \
                  74 disk, 75 gave up restarting, 76 directory in use, 101 panic",
    disable_help_subcommand = true
)]
pub(crate) struct Cli {
    /// Directory of state, topics and tables [default: ./watershed-data]
    #[arg(long, global = true, value_name = "DIR")]
    pub(crate) data: Option<PathBuf>,
    /// Set by the supervisor: its process id.
    #[arg(long, hide = true, value_name = "PID")]
    pub(crate) child_of: Option<u32>,
    /// Set by the supervisor: operators that keep failing, whose jobs are left out.
    #[arg(long, hide = true, value_name = "JOB.UID")]
    pub(crate) quarantine: Vec<String>,
    /// For tests: an operator that panics at a record with this text.
    #[arg(long, global = true, hide = true, value_name = "JOB.UID=TEXT")]
    pub(crate) panic_at: Vec<PanicAt>,
    /// For tests: a point at which the process kills itself, and at which time it passes it.
    #[arg(long, global = true, hide = true, value_name = "POINT[:N]")]
    pub(crate) crash_at: Vec<CrashAt>,
    /// What to do.
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Generate app logs and a shop's changes and watch them flow through all layers
    #[command(after_help = "Example:  watershed demo --records 1000000 --exit-when-done --json")]
    Demo(DemoArgs),
    /// Send recorded files through the warehouse, to the end and as fast as it goes
    #[command(after_help = "Example:  watershed replay recorded/ --out result/ --epoch 1s")]
    Replay(ReplayArgs),
    /// Run the jobs of a job file until stopped
    #[command(after_help = "Example:  watershed run config/kafka.toml --data /var/lib/watershed")]
    Run(RunArgs),
    /// Check a job file without running it
    #[command(after_help = "Example:  watershed check config/kafka.toml")]
    Check(CheckArgs),
    /// Print the dataflow of a job file: operators, keys, positions
    #[command(after_help = "Example:  watershed explain config/kafka.toml")]
    Explain(FileArgs),
    /// Show epochs, holds, topics and counters, of a running process or of its directory
    #[command(after_help = "Example:  watershed status --json")]
    Status(JsonArgs),
    /// Read everything in a directory and check every checksum (no process may run on it)
    #[command(after_help = "Example:  watershed verify ./watershed-data")]
    Verify(DirArgs),
    /// Show jobs, positions, tables and sizes in a directory (no process may run on it)
    #[command(after_help = "Example:  watershed inspect ./watershed-data --table dim_sku_info")]
    Inspect(InspectArgs),
    /// List, tail or dump embedded topics
    #[command(subcommand, after_help = "Example:  watershed topic tail dwd_traffic_page_log")]
    Topic(TopicCommand),
}

/// Flags of `demo`.
#[derive(Debug, Args)]
pub(crate) struct DemoArgs {
    /// App logs to generate, as fast as it goes, and a fifth as many changes of the shop
    /// [default: no end, at the pace of the clock]
    #[arg(long, value_name = "N")]
    pub(crate) records: Option<u64>,
    /// End when all records are through, with a summary
    #[arg(long, requires = "records")]
    pub(crate) exit_when_done: bool,
    /// Print one JSON object as the last line
    #[arg(long)]
    pub(crate) json: bool,
    /// What makes the records; the same seed makes the same ones
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub(crate) seed: u64,
    /// Days the records are spread over; they end at the first start [default: 1]
    #[arg(long, value_name = "N", requires = "records", value_parser = clap::value_parser!(u32).range(1..=366))]
    pub(crate) days: Option<u32>,
    /// App logs per second, and a fifth as many changes; 0 makes none [default: 2000]
    #[arg(long, value_name = "R", conflicts_with = "records", value_parser = clap::value_parser!(u64).range(..=1_000_000))]
    pub(crate) rate: Option<u64>,
    #[command(flatten)]
    pub(crate) workers: WorkersArgs,
}

/// Flags of `replay`.
#[derive(Debug, Args)]
pub(crate) struct ReplayArgs {
    /// Directory with ods_log.jsonl, ods_db.jsonl, table_process.jsonl, table_process_dwd.jsonl,
    /// timeline.jsonl
    #[arg(value_name = "IN")]
    pub(crate) input: PathBuf,
    /// Directory for the results; the same one again goes on where a kill left it
    #[arg(long, value_name = "OUT")]
    pub(crate) out: PathBuf,
    /// Length of an epoch: a time of the recording or a number of rows; changes no result
    #[arg(long, value_name = "1ms|1s|1h|<N>rows", default_value = "1s")]
    pub(crate) epoch: EpochLength,
    /// Die by SIGKILL at a random point
    #[arg(long, value_name = "SEED")]
    pub(crate) kill_at: Option<u64>,
    /// Print one JSON object as the last line
    #[arg(long)]
    pub(crate) json: bool,
    #[command(flatten)]
    pub(crate) workers: WorkersArgs,
}

/// Flags of `run`.
#[derive(Debug, Args)]
pub(crate) struct RunArgs {
    /// The job file (TOML)
    #[arg(value_name = "FILE")]
    pub(crate) file: PathBuf,
    /// Start without the state that was lost, reading all sources from the beginning
    #[arg(long)]
    pub(crate) from_start: bool,
    /// Drop the saved state of an operator that is gone, or of a whole job; may be repeated
    #[arg(long, value_name = "JOB[.UID]")]
    pub(crate) drop_state: Vec<String>,
    /// Let an operator start empty although its job has saved state; may be repeated
    #[arg(long, value_name = "JOB[.UID]")]
    pub(crate) new_state: Vec<String>,
    #[command(flatten)]
    pub(crate) workers: WorkersArgs,
}

/// Flags of `check`.
#[derive(Debug, Args)]
pub(crate) struct CheckArgs {
    /// The job file (TOML); without one, what is embedded
    #[arg(value_name = "FILE")]
    pub(crate) file: Option<PathBuf>,
    /// Print every setting there is, as Markdown
    #[arg(long, conflicts_with = "file")]
    pub(crate) keys: bool,
}

/// A job file.
#[derive(Debug, Args)]
pub(crate) struct FileArgs {
    /// The job file (TOML); without one, what is embedded
    #[arg(value_name = "FILE")]
    pub(crate) file: Option<PathBuf>,
}

/// How to print.
#[derive(Debug, Args)]
pub(crate) struct JsonArgs {
    /// Print one JSON object
    #[arg(long)]
    pub(crate) json: bool,
}

/// A directory, and how to print.
#[derive(Debug, Args)]
pub(crate) struct DirArgs {
    /// The data directory, or its `state`; goes before --data
    #[arg(value_name = "DIR")]
    pub(crate) dir: Option<PathBuf>,
    /// Print one JSON object
    #[arg(long)]
    pub(crate) json: bool,
}

/// Flags of `inspect`.
#[derive(Debug, Args)]
pub(crate) struct InspectArgs {
    #[command(flatten)]
    pub(crate) dir: DirArgs,
    /// Print the rows of this dimension or DWS table instead, one JSON object a line
    #[arg(long, value_name = "NAME")]
    pub(crate) table: Option<String>,
}

/// What to do with topics.
#[derive(Debug, Subcommand)]
pub(crate) enum TopicCommand {
    /// Topics with their partitions, offsets and sizes
    #[command(after_help = "Example:  watershed topic list")]
    List(JsonArgs),
    /// Print the newest records, then those that come, until stopped
    #[command(after_help = "Example:  watershed topic tail dwd_traffic_page_log -n 5")]
    Tail(TailArgs),
    /// Print all records and end
    #[command(after_help = "Example:  watershed topic dump dwd_traffic_page_log > page.jsonl")]
    Dump(DumpArgs),
}

/// Flags of `topic tail`.
#[derive(Debug, Args)]
pub(crate) struct TailArgs {
    /// The topic
    pub(crate) topic: String,
    /// Only this partition
    #[arg(long, value_name = "N")]
    pub(crate) partition: Option<u32>,
    /// Begin with the first record still there
    #[arg(long)]
    pub(crate) from_start: bool,
    /// Begin with so many of the newest records of each partition
    #[arg(short = 'n', value_name = "N", default_value_t = 10, conflicts_with = "from_start")]
    pub(crate) newest: u64,
}

/// Flags of `topic dump`.
#[derive(Debug, Args)]
pub(crate) struct DumpArgs {
    /// The topic
    pub(crate) topic: String,
    /// Only this partition
    #[arg(long, value_name = "N")]
    pub(crate) partition: Option<u32>,
    /// Print offset, time and key beside the value, as JSON
    #[arg(long)]
    pub(crate) json: bool,
}

/// Worker threads.
#[derive(Debug, Args)]
pub(crate) struct WorkersArgs {
    /// Worker threads [default: the cores of the machine]
    #[arg(long = "workers", value_name = "N", value_parser = workers)]
    pub(crate) count: Option<usize>,
}

impl Cli {
    /// What flags say over the job file.
    pub(crate) fn overrides(&self, workers: Option<&WorkersArgs>) -> Overrides {
        Overrides { data: self.data.clone(), workers: workers.and_then(|workers| workers.count) }
    }
}

fn workers(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(count) if (1..=WORKERS_MAX).contains(&count) => Ok(count),
        _ => Err(format!("expects 1 to {WORKERS_MAX}")),
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn the_definition_is_sound() {
        Cli::command().debug_assert();
    }

    /// `--help` teaches: one line and one example for each command.
    #[test]
    fn every_command_has_a_line_and_an_example() {
        fn check(command: &clap::Command) {
            for sub in command.get_subcommands() {
                let about = sub.get_about().map(ToString::to_string).unwrap_or_default();
                let help = sub.get_after_help().map(ToString::to_string).unwrap_or_default();
                assert!(!about.is_empty() && !about.contains('\n'), "{}: {about}", sub.get_name());
                let example = help.strip_prefix("Example:  ").expect("an example");
                let words = example.split_whitespace().take_while(|word| *word != ">");
                let parsed = Cli::try_parse_from(words);
                assert!(parsed.is_ok(), "{example}: {}", parsed.expect_err("checked"));
                check(sub);
            }
        }
        check(&Cli::command());
    }
}
