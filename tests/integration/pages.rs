//! The pages for people: links that lead somewhere, command lines and snippets that work, and no more words than somebody
//! in a hurry reads.

use std::collections::BTreeSet;
use std::fmt::Write;
use std::path::{Component, Path, PathBuf};

use clap::{Arg, ArgAction, Command};
use signaling_relay::cli::command_line;
use signaling_relay::cli::file::example;

use crate::harness::pages::{blocks, inline_code, page, pages, prose};
use crate::harness::{file, text, tool};

/// What somebody in a hurry reads: the README says what the relay is and how to run it; the rest is linked.
const README_WORDS_MAX: usize = 1800;

#[test]
fn the_readme_is_for_somebody_in_a_hurry() {
    let words = page("README.md").split_whitespace().count();
    assert!(words <= README_WORDS_MAX, "{words} words: move what is not for everybody to the page it belongs to");
}

/// The anchor that GitHub gives to a heading.
fn anchor(heading: &str) -> String {
    let kept = heading.chars().filter(|letter| letter.is_alphanumeric() || " -_".contains(*letter));
    kept.collect::<String>().to_lowercase().replace(' ', "-")
}

/// The anchors of a page; of several headings with the same text the later ones have a number.
fn anchors(page: &str) -> BTreeSet<String> {
    let mut anchors = BTreeSet::new();
    for heading in prose(page).lines().filter(|line| line.starts_with('#')) {
        let first = anchor(heading.trim_start_matches('#').trim());
        let mut numbered = (1..).map(|number| format!("{first}-{number}"));
        let own = if anchors.contains(&first) { numbered.find(|own| !anchors.contains(own)).unwrap() } else { first };
        anchors.insert(own);
    }
    anchors
}

/// Where the links and pictures of a page lead.
fn links(page: &str) -> Vec<String> {
    let mut sentences = String::new();
    for (index, part) in prose(page).split('`').enumerate() {
        // What stands between backquotes is no link, but the text of one may.
        sentences += if index % 2 == 0 { part } else { "code" };
    }
    sentences.split("](").skip(1).map(|rest| rest.split_once(')').unwrap().0.to_owned()).collect()
}

/// `path` without its `..`.
fn normal(path: &Path) -> PathBuf {
    let mut normal = PathBuf::new();
    for component in path.components() {
        match component {
            Component::ParentDir => assert!(normal.pop(), "{} leads out of the repository", path.display()),
            other => normal.push(other),
        }
    }
    normal
}

#[test]
fn every_link_of_every_page_leads_somewhere() {
    let mut wrong = String::new();
    for path in pages() {
        let from = path.display();
        for link in links(&page(text(&path))) {
            if link.contains("://") {
                continue;
            }
            let (file, anchor) = link.split_once('#').unwrap_or((&link, ""));
            let target = if file.is_empty() { path.clone() } else { normal(&path.parent().unwrap().join(file)) };
            if !target.exists() {
                writeln!(wrong, "{from}: there is no {link}").unwrap();
            } else if !anchor.is_empty() && !anchors(&page(text(&target))).contains(anchor) {
                writeln!(wrong, "{from}: {link} has no such heading").unwrap();
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong}");
}

/// The words of a command line, as a shell would split them.
fn words(line: &str) -> Vec<String> {
    let mut words = vec![String::new()];
    let mut quoted = false;
    for letter in line.chars() {
        match letter {
            '\'' => quoted = !quoted,
            ' ' | '\n' if !quoted => words.push(String::new()),
            other => words.last_mut().unwrap().push(other),
        }
    }
    words.retain(|word| !word.is_empty());
    words
}

/// The command lines of a page that start the relay.
fn command_lines(page: &str) -> Vec<String> {
    let mut lines = inline_code(page);
    for block in blocks(page).into_iter().filter(|block| block.language == "sh") {
        // A line goes on where a quotation is open.
        let mut open = String::new();
        for line in block.code.lines() {
            open += line;
            if open.matches('\'').count().is_multiple_of(2) {
                lines.push(std::mem::take(&mut open));
            }
        }
        assert!(open.is_empty(), "{open}");
    }
    lines.retain(|line| line.starts_with("signaling-relay ") && line.contains("--"));
    lines
}

#[test]
fn every_command_line_in_a_page_is_one_that_the_relay_takes() {
    let mut count = 0;
    for path in pages() {
        for line in command_lines(&page(text(&path))) {
            let arguments = words(&line);
            // To ask for help or the version is no mistake.
            if let Err(error) = command_line::from_arguments(&arguments) {
                assert!(!error.is_mistake(), "{}: {line}: {error}", path.display());
            }
            count += 1;
        }
    }
    assert!(count >= 5, "{count}");
}

#[test]
fn every_flag_that_a_page_names_is_one() {
    // Those of other programs, which stand alone in a sentence.
    const OTHERS: [&str; 6] = ["--denied-peer-ip", "--network", "--re", "--shard", "--instructions", "--teeth"];
    let command = command_line::command();
    let commands = std::iter::once(&command).chain(command.get_subcommands());
    let mut known: BTreeSet<String> =
        commands.flat_map(Command::get_arguments).filter_map(|arg| Some(format!("--{}", arg.get_long()?))).collect();
    known.extend(["--help", "--version"].map(str::to_owned));
    known.extend(OTHERS.map(str::to_owned));
    for path in pages() {
        for code in inline_code(&page(text(&path))).iter().filter(|code| code.starts_with("--")) {
            let flags = words(code).into_iter().filter(|word| word.starts_with("--") && word != "--");
            for flag in flags {
                let flag = flag.trim_end_matches(',').split('=').next().unwrap().to_owned();
                assert!(known.contains(&flag), "{}: there is no {flag}", path.display());
            }
        }
    }
}

#[test]
fn node_understands_the_javascript_of_every_page() {
    let folder = tempfile::tempdir().unwrap();
    let mut count = 0;
    for path in pages() {
        for block in blocks(&page(text(&path))).iter().filter(|block| block.language == "js") {
            let script = file(folder.path(), "script.mjs", &block.code);
            let (good, said) = tool("node", &["--check", text(&script)], "");
            assert!(good, "{}: {said}", path.display());
            count += 1;
        }
    }
    assert!(count > 1, "{count}");
}

const FLAGS_PAGE: &str = "src/cli/flags.md";

#[test]
fn the_page_about_flags_says_what_help_says() {
    let right = flags_page(&command_line::command());
    if std::env::var_os("WRITE_PAGES").is_some() {
        std::fs::write(FLAGS_PAGE, &right).unwrap();
    }
    let written = std::fs::read_to_string(FLAGS_PAGE).unwrap_or_default();
    assert!(written == right, "{FLAGS_PAGE} is not as --help: WRITE_PAGES=1 cargo test --test integration pages");
}

/// The page about flags, from the definition that `--help` is made from.
fn flags_page(command: &Command) -> String {
    let mut page = String::from(
        "# Flags\n\n<!-- Made from `--help`; do not change it by hand: WRITE_PAGES=1 cargo test --test integration pages -->\n\n\
         A wrong value ends the program with exit code 2 and a line that says what is allowed; a later failure, with exit\n\
         code 1.\n",
    );
    let after = command.get_after_help().unwrap().to_string();
    write!(page, "\n```text\n{after}\n```\n").unwrap();
    flags_of(&mut page, "signaling-relay", command);
    for subcommand in command.get_subcommands().filter(|command| command.get_name() != "help") {
        let title = format!("signaling-relay {}", subcommand.get_name());
        match subcommand.get_long_about() {
            // It has the same flags.
            Some(about) if subcommand.get_name() == "check" => {
                let about = about.to_string();
                let paragraphs: Vec<_> = about.split("\n\n").map(markdown).collect();
                write!(page, "\n## {title}\n\n{}\n", paragraphs.join("\n\n")).unwrap();
            }
            _ => flags_of(&mut page, &title, subcommand),
        }
    }
    page
}

const EXAMPLE: &str = "scripts/deploy/relay.toml";

#[test]
fn the_example_of_a_file_with_settings_has_every_flag_with_its_default() {
    let right = example(&command_line::command());
    if std::env::var_os("WRITE_PAGES").is_some() {
        std::fs::write(EXAMPLE, &right).unwrap();
    }
    let written = std::fs::read_to_string(EXAMPLE).unwrap_or_default();
    assert!(written == right, "{EXAMPLE} is not as --help: WRITE_PAGES=1 cargo test --test integration pages");
}

/// A table of a command's flags, and then each with all of its text.
fn flags_of(page: &mut String, title: &str, command: &Command) {
    let about = markdown(&command.get_about().unwrap().to_string());
    write!(page, "\n## {title}\n\n{about}\n\n| flag | default | |\n| --- | --- | --- |\n").unwrap();
    let is_standard = |arg: &Arg| ["help", "version"].contains(&arg.get_id().as_str());
    let args: Vec<_> = command.get_arguments().filter(|arg| !is_standard(arg)).collect();
    for arg in &args {
        let flag = flag(arg);
        let short = markdown(&arg.get_help().unwrap().to_string());
        writeln!(page, "| [`{flag}`](#{}) | {} | {short} |", anchor(&flag), defaults(arg)).unwrap();
    }
    for arg in &args {
        write!(page, "\n### `{}`\n\n", flag(arg)).unwrap();
        let help = arg.get_long_help().or(arg.get_help()).unwrap().to_string();
        for paragraph in help.split("\n\n") {
            write!(page, "{}\n\n", markdown(paragraph)).unwrap();
        }
        let mut facts = Vec::new();
        facts.extend(arg.get_env().map(|name| format!("Environment: `{}`.", name.to_str().unwrap())));
        facts.extend(Some(defaults(arg)).filter(|text| !text.is_empty()).map(|text| format!("Default: {text}.")));
        facts.extend(arg.is_required_set().then(|| "Required.".to_owned()));
        facts.extend(matches!(arg.get_action(), ArgAction::Append).then(|| "Repeatable.".to_owned()));
        if facts.is_empty() {
            facts.push("Optional.".to_owned());
        }
        writeln!(page, "{}", facts.join(" ")).unwrap();
    }
}

fn flag(arg: &Arg) -> String {
    let values = arg.get_value_names().filter(|_| arg.get_action().takes_values()).unwrap_or_default();
    let long = arg.get_long().map(|name| format!("--{name}"));
    let words = long.into_iter().chain(values.iter().map(ToString::to_string));
    words.collect::<Vec<_>>().join(" ")
}

fn defaults(arg: &Arg) -> String {
    // The default of a switch is that it is off.
    let values = arg.get_default_values().iter().filter(|_| arg.get_action().takes_values());
    values.map(|value| format!("`{}`", value.to_str().unwrap())).collect::<Vec<_>>().join(" ")
}

/// Text of `--help` as Markdown: flags and JSON are code, and no sign means anything else than itself.
fn markdown(help: &str) -> String {
    let mut text = String::new();
    for (index, part) in help.split('`').enumerate() {
        if index % 2 == 1 {
            write!(text, "`{part}`").unwrap();
            continue;
        }
        let words = part.split(' ').map(|word| {
            let bare = word.trim_end_matches(['.', ',', ';', ':', ')']).trim_start_matches('(');
            let is_code = bare.starts_with("--") || bare.contains(['{', '[', '*', '<', '$', '_', '~', '/']);
            if bare.is_empty() || !is_code { word.to_owned() } else { word.replacen(bare, &format!("`{bare}`"), 1) }
        });
        text += &words.collect::<Vec<_>>().join(" ");
    }
    // clap takes the full stop of a text of one paragraph.
    if text.ends_with(['.', ':']) { text } else { text + "." }
}
