//! Writes the manual page and the completions of bash, fish and zsh into a folder, for packages.
//!
//! `cargo run --example manual target/packaging`

use std::path::PathBuf;

use anyhow::Context;
use clap_complete::generate_to;
use clap_complete::shells::{Bash, Fish, Zsh};
use signaling_relay::cli::command_line;

fn main() -> anyhow::Result<()> {
    let folder: PathBuf = std::env::args_os().nth(1).context("name the folder")?.into();
    std::fs::create_dir_all(&folder)?;
    let mut command = command_line::command().disable_help_subcommand(true);
    generate_to(Bash, &mut command, "signaling-relay", &folder)?;
    generate_to(Fish, &mut command, "signaling-relay", &folder)?;
    generate_to(Zsh, &mut command, "signaling-relay", &folder)?;
    // One page for the relay, and one for each other command.
    clap_mangen::generate_to(command, &folder)?;
    Ok(())
}
