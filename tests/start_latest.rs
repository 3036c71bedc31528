//! The real binary, told to begin at the end of a topic: what comes while it is away is read later,
//! though it had read nothing before.

mod support {
    pub(crate) mod broker;
    pub(crate) mod run;
}

use std::path::Path;
use std::time::{Duration, Instant};

use engine::checkpoint::restore::Saved;
use engine::state::fjall::{FjallBackend, FjallOptions};
use support::broker::{grow, produce, read_committed, topic};
use support::run::Run;
use xtask::services::kafka::Broker;
use xtask::services::offline;

const PARTITIONS: usize = 2;
const LIMIT: Duration = Duration::from_secs(120);

fn pages(from: usize, count: usize) -> impl Iterator<Item = (Option<Vec<u8>>, Vec<u8>)> {
    (from..from + count).map(|number| {
        let ts = 1_651_287_600_000_usize + number;
        let common = format!("{{\"is_new\":\"0\",\"mid\":\"mid_{number}\"}}");
        let text = format!("{{\"common\":{common},\"page\":{{\"page_id\":\"home\"}},\"ts\":{ts}}}");
        (Some(format!("mid_{number}").into_bytes()), text.into_bytes())
    })
}

/// Partitions whose position is saved in a directory that nobody runs on.
fn saved(data: &Path) -> usize {
    let backend = FjallBackend::open(&data.join("state/db"), FjallOptions::default());
    let saved = Saved::read(&backend.expect("the process has ended")).expect("a checkpoint");
    saved.positions.values().map(Vec::len).sum()
}

#[test]
fn what_comes_while_it_is_away_is_read() {
    if offline() {
        return;
    }
    let broker = Broker::shared();
    let bootstrap = broker.bootstrap();
    topic(broker, "latest_ods_log", i32::try_from(PARTITIONS).expect("few"));
    topic(broker, "latest_dwd_traffic_page_log", 1);
    produce(&bootstrap, "latest_ods_log", pages(0, 50));
    let job = format!(
        "[engine]\nepoch.interval = \"100ms\"\n\
         [source.ods_log]\nconnector = \"kafka\"\ntopic = \"latest_ods_log\"\n\
         scan.startup.mode = \"latest-offset\"\n\
         properties.bootstrap.servers = \"{bootstrap}\"\n\
         [topics]\nconnector = \"kafka\"\nprefix = \"latest_\"\n\
         sink.transactional-id-prefix = \"latest_\"\nsink.progress-topic = \"latest_progress\"\n\
         properties.bootstrap.servers = \"{bootstrap}\"\n\
         [[job]]\nname = \"log_split\"\n"
    );
    let mut run = Run::new(&job, ("WATERSHED_NOTHING", "1"));
    // Stopped before it knows where the end is, it has not begun yet.
    let started = Instant::now();
    let mut stops = 0;
    loop {
        stops += 1;
        run.start(1 + stops % 2);
        std::thread::park_timeout(Duration::from_millis(1500) * u32::try_from(stops).expect("few"));
        run.stop();
        if saved(&run.data()) == PARTITIONS {
            break;
        }
        assert!(started.elapsed() < LIMIT, "no position is saved:\n{}", run.log());
    }
    // A partition that comes meanwhile is read from its beginning, too.
    grow(broker, "latest_ods_log", PARTITIONS + 1);
    produce(&bootstrap, "latest_ods_log", pages(100, 30));
    run.start(2);
    let target = "latest_dwd_traffic_page_log";
    // Perhaps while it reads them.
    run.kill_engine();
    while read_committed(&bootstrap, target).len() < 30 {
        assert!(started.elapsed() < LIMIT, "{}", run.log());
        std::thread::park_timeout(Duration::from_millis(100));
    }
    run.stop();
    let mut arrived: Vec<_> =
        read_committed(&bootstrap, target).into_iter().filter_map(|record| record.value).collect();
    arrived.sort();
    assert_eq!(arrived, pages(100, 30).map(|(_, value)| value).collect::<Vec<_>>());
}
