//! The binary: reads the command line, calls what was asked for, prints the error once, and ends
//! with a code that says what kind of end it was.
//!
//! Nothing is decided here. What the process is made of is wired in [`warehouse`]; what a job file
//! means is judged in [`config`].

#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a command answers on its terminal")]

mod check;
mod cli;
mod config;
mod crash;
mod data_dir;
mod demo;
mod exit;
mod injected;
mod inspect;
mod machine;
mod private_copy;
mod replay;
mod run;
mod signal;
mod socket;
mod status;
mod supervise;
mod topic;
mod usage;
mod verify;
mod warehouse;

use std::io::{self, BufWriter, Write as _};
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Result;
use clap::Parser as _;
use engine::error::Fatal;

use self::cli::{
    CheckArgs, Cli, Command, DirArgs, FileArgs, InspectArgs, ReplayArgs, TopicCommand,
};
use self::config::fault::ConfigError;
use self::data_dir::DataDir;
use self::socket::Teller;
use self::status::Report;
use self::topic::Topics;

#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() -> ExitCode {
    crash::install();
    let cli = Cli::parse();
    match dispatch(&cli) {
        Ok(code) => code.into(),
        Err(error) if is_closed_pipe(&error) => ExitCode::SUCCESS,
        Err(error) => {
            report(&error);
            exit::code_of(&error).into()
        }
    }
}

fn dispatch(cli: &Cli) -> Result<u8> {
    match &cli.command {
        Command::Demo(args) => return demo::start::start(cli, args),
        Command::Run(args) => return run::run(cli, args),
        Command::Replay(args) => replay(cli, args),
        Command::Check(args) => check(cli, args),
        Command::Explain(args) => explain(cli, args),
        Command::Status(args) => status(cli, args.json),
        Command::Verify(args) => verify(cli, args),
        Command::Inspect(args) => inspect(cli, args),
        Command::Topic(command) => topic(cli, command),
    }?;
    Ok(engine::error::exit::STOPPED)
}

/// Prints the whole chain, once. Faults of a job file stand each on a line that begins with its
/// place, as editors like it.
fn report(error: &anyhow::Error) {
    if error.is::<ConfigError>() {
        eprintln!("{error}");
    } else {
        eprintln!("error: {error:#}");
    }
}

/// Whoever read our output has enough, as `head` does.
fn is_closed_pipe(error: &anyhow::Error) -> bool {
    let cause = error.downcast_ref::<io::Error>();
    cause.is_some_and(|cause| cause.kind() == io::ErrorKind::BrokenPipe)
}

fn replay(cli: &Cli, args: &ReplayArgs) -> Result<()> {
    let preset = config::preset(&Default::default())?;
    replay::replay(&replay::Request {
        input: args.input.clone(),
        output: args.out.clone(),
        workers: args.workers.count.unwrap_or(preset.workers),
        epoch: args.epoch,
        kill_at: args.kill_at,
        crash_at: cli.crash_at.clone(),
        json: args.json,
        settings: preset.settings,
    })
}

fn check(cli: &Cli, args: &CheckArgs) -> Result<()> {
    if args.keys {
        print!("{}", check::keys());
        return Ok(());
    }
    let checked = config::load(args.file.as_deref(), &cli.overrides(None))?;
    print!("{}", check::summary(&checked));
    Ok(())
}

fn explain(cli: &Cli, args: &FileArgs) -> Result<()> {
    let checked = config::load(args.file.as_deref(), &cli.overrides(None))?;
    for plan in run::outside::plans(&checked)? {
        print!("{}", plan.explain());
    }
    Ok(())
}

fn status(cli: &Cli, json: bool) -> Result<()> {
    let dir = data_dir(cli, None)?;
    let report = match Teller::find(&dir)? {
        Teller::Running(mut connection) => connection.status()?,
        Teller::Alone(seen, saved) => Report::saved(&saved).with_dimensions(&dir, &*seen.backend),
    };
    match json {
        true => println!("{}", serde_json::to_string(&report)?),
        false => print!("{}", report.text()),
    }
    Ok(())
}

fn verify(cli: &Cli, args: &DirArgs) -> Result<()> {
    let dir = data_dir(cli, args.dir.clone())?;
    let (seen, saved) = dir.look()?;
    let found = verify::verify_all(&dir, seen.disk.as_ref(), &*seen.backend, &saved);
    if args.json {
        println!("{}", serde_json::to_string(&found)?);
    } else {
        found.good.iter().for_each(|line| println!("good     {line}"));
        found.damage.iter().for_each(|line| println!("DAMAGED  {line}"));
    }
    match found.damage.first() {
        None => Ok(()),
        Some(first) => Err(Fatal::disk(format!(
            "\"{}\" is damaged in {} places, first: {first}",
            dir.root().display(),
            found.damage.len()
        ))
        .into()),
    }
}

fn inspect(cli: &Cli, args: &InspectArgs) -> Result<()> {
    let dir = data_dir(cli, args.dir.dir.clone())?;
    let (seen, saved) = dir.look()?;
    if let Some(table) = &args.table {
        let mut out = BufWriter::new(io::stdout().lock());
        inspect::print_rows(&dir, table, &mut out)?;
        return Ok(out.flush()?);
    }
    let inventory = inspect::inventory(&dir, &*seen.backend, &saved)?;
    match args.dir.json {
        true => println!("{}", serde_json::to_string(&inventory)?),
        false => print!("{}", inventory.text()),
    }
    Ok(())
}

fn topic(cli: &Cli, command: &TopicCommand) -> Result<()> {
    let topics = Topics::open(&data_dir(cli, None)?)?;
    let mut out = BufWriter::new(io::stdout().lock());
    match command {
        TopicCommand::List(args) => topics.list(args.json, &mut out)?,
        TopicCommand::Tail(args) => topics.tail(args, &mut out)?,
        TopicCommand::Dump(args) => topics.dump(args, &mut out)?,
    }
    Ok(out.flush()?)
}

/// The directory named, else that of the flag, the environment or the preset.
fn data_dir(cli: &Cli, named: Option<PathBuf>) -> Result<DataDir> {
    match named {
        Some(path) => Ok(DataDir::named(path)),
        None => Ok(DataDir::new(config::preset(&cli.overrides(None))?.data)),
    }
}
