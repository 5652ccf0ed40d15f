//! The binary: arguments, settings, clock, wiring. The only crate with `anyhow`, `clap`, a wall
//! clock and an environment.

mod catalog;
mod cli;
mod cluster;
mod demo;
mod explain;
mod generate;
mod outside;
mod print;
mod run;
mod settings;
mod sql_query;
mod upkeep;
mod verify;

use std::process::ExitCode;

use clap::{CommandFactory, Parser};
use cli::{Cli, Command, Lake};
use engine::ports::{PortError, PortErrorKind};
use settings::Settings;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let cli = Cli::parse();
    outside::logging(cli.verbose);
    outside::panics();
    match dispatch(&cli) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::from(exit_code(&error))
        }
    }
}

fn dispatch(cli: &Cli) -> anyhow::Result<ExitCode> {
    let settings = Settings::load(cli.config.as_deref())?;
    match &cli.command {
        Command::Demo(args) => demo::demo(args, &settings, cli.quiet),
        Command::Run(args) => run::command(args, &settings, cli.config.as_deref(), cli.quiet),
        Command::Follow(args) => run::follow(args, &settings),
        Command::Sql(args) => sql_query::command(args, &settings),
        Command::Explain(args) => explain::command(args, &settings),
        Command::Verify(args) => verify::command(args, &settings),
        Command::Lake(Lake::Vacuum(args)) => upkeep::command(args, &settings),
        Command::Lake(Lake::Generate(args)) => generate::command(args, cli.quiet),
        Command::Completions { shell } => {
            let mut command = Cli::command();
            clap_complete::generate(*shell, &mut command, "tidewatch", &mut std::io::stdout());
            Ok(ExitCode::SUCCESS)
        }
    }
}

/// What the shell is told; `--help` says what each means.
fn exit_code(error: &anyhow::Error) -> u8 {
    if error.downcast_ref::<::sql::SqlError>().is_some() {
        return 2;
    }
    let kind = error
        .downcast_ref::<PortError>()
        .map(PortError::kind)
        .or_else(|| error.downcast_ref::<lake::LakeError>().map(lake::LakeError::kind));
    match kind {
        Some(PortErrorKind::Fenced) => 4,
        Some(PortErrorKind::Outage) => 75,
        Some(PortErrorKind::Invalid) => 2,
        _ => 1,
    }
}
