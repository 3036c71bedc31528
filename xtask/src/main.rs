//! The command line of the chores: `cargo xtask <command>`.
#![expect(clippy::print_stdout, reason = "telling what it does is what a command line is for")]

mod advice;
mod ci;

use std::process::ExitCode;

use anyhow::Result;
use clap::{Parser, Subcommand, ValueEnum};
use xtask::packages;
use xtask::services::version::Version;
use xtask::services::{detached, to_terminal};

/// Chores of the watershed repository.
#[derive(Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask")]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// All checks and all tests, exactly what CI runs; installs and starts the services they need
    Ci {
        /// Leave out the tests against real services, and what those need
        #[arg(long)]
        offline: bool,
    },
    /// Services for trying things by hand; tests start their own
    Services {
        #[command(subcommand)]
        action: Action,
        /// Version of Kafka, such as 3.9.2; each has data of its own
        #[arg(long, global = true, default_value_t = Version::of_tests())]
        version: Version,
    },
    /// Long files, long functions, files that do not say what they are; never fails
    Advice,
}

#[derive(Subcommand)]
enum Action {
    /// Start services and leave them running; their data is that of the last time
    Up { services: Vec<Service> },
    /// Stop services; their data stays
    Down { services: Vec<Service> },
    /// Say what runs, and where
    Status { services: Vec<Service> },
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Service {
    Kafka,
}

fn main() -> ExitCode {
    match run(&Arguments::parse().command) {
        Ok(code) => code,
        Err(error) => {
            to_terminal(&format!("xtask: {error:#}"));
            ExitCode::FAILURE
        }
    }
}

fn run(command: &Command) -> Result<ExitCode> {
    match command {
        Command::Ci { offline } => {
            Ok(if ci::run(*offline) { ExitCode::SUCCESS } else { ExitCode::FAILURE })
        }
        Command::Services { action, version } => {
            services(action, version).map(|()| ExitCode::SUCCESS)
        }
        Command::Advice => advice::print().map(|()| ExitCode::SUCCESS),
    }
}

fn services(action: &Action, version: &Version) -> Result<()> {
    let (Action::Up { services } | Action::Down { services } | Action::Status { services }) =
        action;
    // No name means all.
    let named = if services.is_empty() { Service::value_variants() } else { services };
    for service in named {
        match service {
            Service::Kafka => kafka(action, version)?,
        }
    }
    Ok(())
}

fn kafka(action: &Action, version: &Version) -> Result<()> {
    match action {
        Action::Up { .. } => {
            packages::install(packages::SERVICES, &to_terminal)?;
            show(Some(&detached::up(version, &to_terminal)?));
        }
        Action::Down { .. } => {
            println!(
                "kafka  {}",
                if detached::down(version)? { "stopped" } else { "was not running" }
            );
        }
        Action::Status { .. } => show(detached::status(version)?.as_ref()),
    }
    Ok(())
}

fn show(running: Option<&detached::Running>) {
    match running {
        Some(broker) => {
            println!(
                "kafka  {}  pid {}  log {}",
                broker.bootstrap,
                broker.pid,
                broker.log.display()
            );
        }
        None => println!("kafka  not running"),
    }
}
