//! The pages for people (`*.md`), and what is in them.

use std::path::{Path, PathBuf};

/// The text of a page, by its path in the repository.
pub fn page(path: &str) -> String {
    std::fs::read_to_string(path).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// Every page of the repository.
pub fn pages() -> Vec<PathBuf> {
    let mut pages = Vec::new();
    let mut folders = vec![PathBuf::from(".")];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_str().unwrap();
            if path.is_dir() && !["target", "node_modules", ".git", "corpus"].contains(&name) {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "md") {
                pages.push(path.strip_prefix(".").unwrap().to_owned());
            }
        }
    }
    assert!(pages.contains(&Path::new("README.md").to_owned()), "{pages:?}");
    pages.sort();
    pages
}

/// A block of code in a page.
#[derive(Debug)]
pub struct Block {
    /// What stands after its fence.
    pub language: String,
    pub code: String,
}

/// The blocks of code of a page, in order.
pub fn blocks(page: &str) -> Vec<Block> {
    let mut blocks = Vec::new();
    let mut lines = page.lines();
    while let Some(line) = lines.next() {
        let Some(language) = line.strip_prefix("```") else { continue };
        let code =
            lines.by_ref().take_while(|line| *line != "```").fold(String::new(), |code, line| code + line + "\n");
        blocks.push(Block { language: language.to_owned(), code });
    }
    blocks
}

/// The first block of a language in a page that contains `word`.
pub fn block(page: &str, language: &str, word: &str) -> String {
    let mut blocks = blocks(page).into_iter();
    let found = blocks.find(|block| block.language == language && block.code.contains(word));
    found.unwrap_or_else(|| panic!("there is no {language} with {word}")).code
}

/// A page without its blocks of code.
pub fn prose(page: &str) -> String {
    let mut is_code = false;
    let mut prose = String::new();
    for line in page.lines() {
        if line.starts_with("```") {
            is_code = !is_code;
        } else if !is_code {
            prose += line;
            prose.push('\n');
        }
    }
    prose
}

/// The code within the sentences of a page: what stands between backquotes.
pub fn inline_code(page: &str) -> Vec<String> {
    // A span may go over the end of a line.
    prose(page).split('`').skip(1).step_by(2).map(|code| code.replace('\n', " ")).collect()
}

/// `printed` with each of these replaced, all of which it must have.
pub fn with(printed: &str, changes: &[(&str, &str)]) -> String {
    changes.iter().fold(printed.to_owned(), |changed, (from, to)| {
        assert!(changed.contains(from), "{from} is not in {changed}");
        changed.replace(from, to)
    })
}
