//! What processes have used so far: processor time and memory.

/// Processor seconds and resident memory.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Usage {
    /// User and system time of all threads.
    pub(crate) cpu_seconds: f64,
    /// Resident set now.
    pub(crate) rss_bytes: u64,
    /// Greatest resident set so far.
    pub(crate) peak_rss_bytes: u64,
}

/// Clock ticks per second in `/proc/self/stat`; 100 on every Linux architecture in use.
const TICKS: f64 = 100.0;

impl Usage {
    /// Of the calling process.
    pub(crate) fn of_this_process() -> Self {
        Self::of("self")
    }

    /// Of this process and its supervisor. The peaks are added, though they may not have been at
    /// the same time: a supervisor does not move.
    pub(crate) fn with_supervisor(supervisor: Option<u32>) -> Self {
        let own = Self::of_this_process();
        let other = supervisor.map_or_else(Self::default, |pid| Self::of(&pid.to_string()));
        Self {
            cpu_seconds: own.cpu_seconds + other.cpu_seconds,
            rss_bytes: own.rss_bytes + other.rss_bytes,
            peak_rss_bytes: own.peak_rss_bytes + other.peak_rss_bytes,
        }
    }

    /// Reads `/proc/<process>`; zeros where there is none.
    fn of(process: &str) -> Self {
        let read = |file| std::fs::read_to_string(format!("/proc/{process}/{file}"));
        let stat = read("stat").unwrap_or_default();
        // The name in parentheses may hold blanks: fields count from behind it.
        let fields: Vec<&str> =
            stat.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
        let ticks = |index: usize| -> f64 {
            fields.get(index).and_then(|field| field.parse().ok()).unwrap_or(0.0)
        };
        let status = read("status").unwrap_or_default();
        let bytes = |name: &str| {
            let text = status.lines().find_map(|line| line.strip_prefix(name));
            let kib = text.and_then(|text| text.split_whitespace().next()?.parse::<u64>().ok());
            kib.unwrap_or(0) * 1024
        };
        Self {
            cpu_seconds: (ticks(11) + ticks(12)) / TICKS,
            rss_bytes: bytes("VmRSS:"),
            peak_rss_bytes: bytes("VmHWM:"),
        }
    }
}
