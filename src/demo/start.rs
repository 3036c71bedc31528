//! How a demo is started: by a supervisor, so that it survives `kill -9` like `run`.
//!
//! The child draws on the terminal that both share. One that is killed cannot put it back: the next
//! one makes it usable before it begins, and the supervisor, which remembers how it was, puts it
//! back at the end.

use std::io;
use std::time::Duration;

use anyhow::Result;
use crossterm::cursor::Show;
use crossterm::terminal::LeaveAlternateScreen;
use engine::error::exit;
use rustix::termios::{
    InputModes, LocalModes, OptionalActions, OutputModes, Termios, tcgetattr, tcsetattr,
};

use super::{Request, demo};
use crate::cli::{Cli, DemoArgs};
use crate::config::checked::Checked;
use crate::data_dir::DataDir;
use crate::supervise::{Policy, enter_child, supervise};
use crate::{config, crash, run};

/// Records a second of a live demo: enough for lively windows, little enough for one processor.
const RATE: u64 = 2_000;

/// Runs the demo; answers the exit code.
pub(crate) fn start(cli: &Cli, args: &DemoArgs) -> Result<u8> {
    if let Some(supervisor) = cli.child_of {
        enter_child(supervisor)?;
    }
    let checked = config::preset(&cli.overrides(Some(&args.workers)))?;
    let dir = DataDir::new(&checked.data);
    if cli.child_of.is_none() {
        let terminal = Terminal::remember();
        let code = supervise(&Policy {
            failures_max: checked.engine.restart_max,
            shutdown_limit: Duration::from_millis(checked.engine.shutdown_limit_ms),
            crash_dir: dir.crash(),
            quarantine: dir.quarantine(),
        });
        terminal.put_back(matches!(code, Ok(exit::STOPPED)));
        return code;
    }
    crash::record_into(dir.crash());
    make_cooked();
    let outcome = demo(&request(cli, args, checked));
    if let Err(error) = &outcome {
        run::record(error);
    }
    outcome.map(|()| exit::STOPPED)
}

fn request(cli: &Cli, args: &DemoArgs, checked: Checked) -> Request {
    Request {
        data: checked.data,
        workers: checked.workers,
        seed: args.seed,
        records: args.records,
        exit_when_done: args.exit_when_done,
        days: args.days.unwrap_or(1),
        rate: args.rate.unwrap_or(RATE),
        json: args.json,
        epoch_interval_ms: checked.engine.epoch_interval_ms,
        quarantine: cli.quarantine.clone(),
        panic_at: cli.panic_at.clone(),
        crash_at: cli.crash_at.clone(),
        settings: checked.settings,
        supervisor: cli.child_of,
    }
}

/// Undoes what a killed child may have done to the terminal: raw mode.
fn make_cooked() {
    let Ok(mut modes) = tcgetattr(io::stdin()) else { return };
    if !modes.local_modes.contains(LocalModes::ICANON) {
        modes.local_modes |=
            LocalModes::ICANON | LocalModes::ECHO | LocalModes::ISIG | LocalModes::IEXTEN;
        modes.input_modes |= InputModes::ICRNL | InputModes::IXON | InputModes::BRKINT;
        modes.output_modes |= OutputModes::OPOST | OutputModes::ONLCR;
        // If the terminal has gone, it needs no care.
        let _gone = tcsetattr(io::stdin(), OptionalActions::Now, &modes);
    }
}

/// How the terminal was, if there is one.
struct Terminal(Option<Termios>);

impl Terminal {
    fn remember() -> Self {
        Self(tcgetattr(io::stdin()).ok())
    }

    /// `clean`: the child has left the screen by itself.
    fn put_back(&self, clean: bool) {
        let Some(modes) = &self.0 else { return };
        // If the terminal has gone, it needs no care.
        let _gone = tcsetattr(io::stdin(), OptionalActions::Now, modes);
        if !clean {
            let _gone = crossterm::execute!(io::stderr(), LeaveAlternateScreen, Show);
        }
    }
}
