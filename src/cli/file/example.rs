//! A file with every setting as a comment, for operators to start from.

use std::fmt::Write as _;

use clap::{Arg, ArgAction, Command};

use super::arguments_of;

const HEAD: &str = "\
# Settings of signaling-relay: signaling-relay --config relay.toml
#
# Each key is named as its flag, and src/cli/flags.md says all about it. To set one, remove the # before it. What stands
# there is the default, or an example where there is none. Flags win over environment variables, which win over this file;
# paths are relative to the folder in which the relay is started. Before a restart, look for mistakes with
#
#   signaling-relay check --config relay.toml
#
# If there is a secret in it, let nobody else read it: chmod 600, or 640 with the group of the relay.
";

/// The longest line of a comment, in characters.
const WIDTH: usize = 120;

/// What a setting without a default may be set to.
const EXAMPLES: [(&str, &str); 34] = [
    ("cert", r#""/etc/signaling-relay/chain.pem""#),
    ("key", r#""/etc/signaling-relay/key.pem""#),
    ("lan-dir", r#""/var/lib/signaling-relay""#),
    ("redirect-from", r#"["*:80"]"#),
    ("web", r#""/srv/call""#),
    ("token-secret-file", r#"["/etc/signaling-relay/relay.secret"]"#),
    ("token-key-file", r#"["/etc/signaling-relay/signer.pem"]"#),
    ("token-jwks", r#"["https://login.example/jwks.json"]"#),
    ("token-audience", r#"["calls"]"#),
    ("token-issuer", r#"["https://login.example/"]"#),
    ("auth-url", r#""http://localhost:3000/may-join""#),
    ("auth-ca", r#""/etc/signaling-relay/ca.pem""#),
    ("auth-header", r#"["cookie"]"#),
    ("stun", r#"["stun:turn.example:3478"]"#),
    ("turn", r#"["turn:turn.example:3478"]"#),
    ("turn-secret-file", r#"["/etc/signaling-relay/turn.secret"]"#),
    ("ice-servers", r#"[{ urls = "turn:turn.example:3478", username = "relay", credential = "change me" }]"#),
    ("allow-origin", r#"["https://intranet.example"]"#),
    ("wire", r#"["y-webrtc"]"#),
    ("peerjs-key", r#"["peerjs"]"#),
    ("allow-frame", r#"["https://intranet.example"]"#),
    ("trusted-proxy", r#"["127.0.0.1"]"#),
    ("max-connections", "20000"),
    ("memory", "1024"),
    ("events-url", r#""https://app.example/events""#),
    ("events-secret-file", r#"["/etc/signaling-relay/events.secret"]"#),
    ("events-ca", r#""/etc/signaling-relay/ca.pem""#),
    ("redis", r#""redis://redis.example:6379""#),
    ("redis-password-file", r#""/etc/signaling-relay/redis.password""#),
    ("redis-ca", r#""/etc/signaling-relay/ca.pem""#),
    ("cluster-listen", r#""*:7000""#),
    ("cluster-advertise", r#""10.0.0.5:7000""#),
    ("admin-listen", r#""localhost:9090""#),
    ("admin-token-file", r#""/etc/signaling-relay/admin.token""#),
];

/// Such a file, from the definition of the flags.
pub fn example(command: &Command) -> String {
    let mut text = HEAD.to_owned();
    let mut heading = None;
    for arg in arguments_of(command) {
        if heading != arg.get_help_heading() {
            heading = arg.get_help_heading();
            text.extend(heading.map(|heading| format!("\n## {heading}\n")));
        }
        let help = arg.get_help().map(ToString::to_string).unwrap_or_default();
        text.push('\n');
        comment(&mut text, &help);
        let key = arg.get_long().unwrap_or_default();
        // Writing into a string does not fail.
        let _ = match default(arg) {
            Some(value) => writeln!(text, "#{key} = {value}"),
            None => writeln!(text, "# For example:\n#{key} = {}", example_of(key)),
        };
    }
    text
}

fn example_of(key: &str) -> &'static str {
    EXAMPLES.iter().find(|(known, _)| *known == key).map_or(r#""""#, |(_, value)| value)
}

/// The default as TOML, if there is one.
fn default(arg: &Arg) -> Option<String> {
    if matches!(arg.get_action(), ArgAction::SetTrue) {
        return Some("false".to_owned());
    }
    if arg.is_hide_default_value_set() {
        return None;
    }
    let values: Vec<String> = arg.get_default_values().iter().map(|value| literal(&value.to_string_lossy())).collect();
    match arg.get_action() {
        _ if values.is_empty() => None,
        ArgAction::Append => Some(format!("[{}]", values.join(", "))),
        _ => values.into_iter().next(),
    }
}

/// A number, or a text in quotes; no default has a character that TOML escapes.
fn literal(value: &str) -> String {
    if value.parse::<u64>().is_ok() { value.to_owned() } else { format!("\"{value}\"") }
}

/// Adds `help` as lines that begin with #.
fn comment(text: &mut String, help: &str) {
    let mut line = "#".to_owned();
    for word in help.split_whitespace() {
        if line.chars().count() + 1 + word.chars().count() > WIDTH {
            text.push_str(&line);
            text.push('\n');
            line = "#".to_owned();
        }
        line.push(' ');
        line.push_str(word);
    }
    text.push_str(&line);
    // clap takes the full stop of a text of one paragraph.
    text.push_str(if help.ends_with('.') { "\n" } else { ".\n" });
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::super::SettingsFile;
    use super::*;
    use crate::cli::{command_line, flags};

    fn settings_of(text: &str) -> super::super::Settings {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("relay.toml");
        std::fs::write(&path, text).unwrap();
        SettingsFile::read(Path::new(&path)).unwrap().settings(&flags::command())
    }

    #[test]
    fn every_setting_is_in_the_example_and_is_right_when_its_sign_is_removed() {
        let text = example(&command_line::command());
        let uncommented: Vec<&str> = text
            .lines()
            .filter_map(|line| {
                line.strip_prefix('#').filter(|rest| rest.starts_with(|first: char| first.is_alphanumeric()))
            })
            .collect();
        let found = settings_of(&uncommented.join("\n"));
        assert_eq!(found.problems, [""; 0]);
        let flags = flags::command();
        assert_eq!(uncommented.len(), arguments_of(&flags).count());
        assert_eq!(found.settings.len(), uncommented.len());
    }

    #[test]
    fn as_it_is_the_example_sets_nothing() {
        let found = settings_of(&example(&command_line::command()));
        assert!(found.problems.is_empty() && found.settings.is_empty(), "{found:?}");
    }

    #[test]
    fn what_is_the_default_in_the_example_is_the_default() {
        let command = command_line::command();
        for arg in arguments_of(&command) {
            let key = arg.get_long().unwrap();
            let has_example = EXAMPLES.iter().any(|(known, _)| *known == key);
            assert!(has_example != default(arg).is_some(), "{key} needs a default or an example, and not both");
        }
    }
}
