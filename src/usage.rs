//! What this process has used so far: processor time and memory.

/// Processor seconds and greatest resident memory.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Usage {
    /// User and system time of all threads.
    pub(crate) cpu_seconds: f64,
    /// Greatest resident set so far.
    pub(crate) peak_rss_bytes: u64,
}

/// Clock ticks per second in `/proc/self/stat`; 100 on every Linux architecture in use.
const TICKS: f64 = 100.0;

impl Usage {
    /// Reads `/proc/self`; zeros where there is none.
    pub(crate) fn of_this_process() -> Self {
        let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
        // The name in parentheses may hold blanks: fields count from behind it.
        let fields: Vec<&str> =
            stat.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
        let ticks = |index: usize| -> f64 {
            fields.get(index).and_then(|field| field.parse().ok()).unwrap_or(0.0)
        };
        let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
        let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        let kib = peak.and_then(|text| text.split_whitespace().next()?.parse::<u64>().ok());
        Self {
            cpu_seconds: (ticks(11) + ticks(12)) / TICKS,
            peak_rss_bytes: kib.unwrap_or(0) * 1024,
        }
    }
}
