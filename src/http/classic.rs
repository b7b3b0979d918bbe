//! The client's modules in one file each, as modules and as classic scripts, for pages that load them from here.

/// The addresses of the client for other people's pages, and the module of `web/` that each is made from.
pub(crate) const CLIENTS: [(&str, &str); 4] = [
    ("signaling.js", "sdk/signaling.js"),
    ("signaling.mjs", "sdk/signaling.js"),
    ("peer.js", "sdk/peer.js"),
    ("peer.mjs", "sdk/peer.js"),
];

/// The `module` as it is sent from the address `name`: a module as `.mjs`, a classic script as `.js`, which imports nothing.
///
/// # Errors
/// Those of `read`, which gives the text of a file of `web/` that the module imports.
pub(crate) fn client<E>(name: &str, module: &str, read: impl FnMut(&str) -> Result<String, E>) -> Result<String, E> {
    let module = whole(module, read)?;
    Ok(if name.ends_with(".mjs") { module } else { classic(&module) })
}

/// The module with its parts: in place of each `import { ... } from "./FILE";` of one line that file of `sdk/`, which imports
/// nothing itself, and whose exports are for this module alone.
fn whole<E>(module: &str, mut read: impl FnMut(&str) -> Result<String, E>) -> Result<String, E> {
    let mut whole = String::new();
    for line in module.lines() {
        let imported =
            line.strip_prefix("import ").and_then(|line| line.split_once(" from \"./")?.1.strip_suffix("\";"));
        let Some(file) = imported else {
            push(&mut whole, line);
            continue;
        };
        for line in read(&format!("sdk/{file}"))?.lines() {
            push(&mut whole, line.strip_prefix("export ").unwrap_or(line));
        }
    }
    Ok(whole)
}

/// The same code in a function of its own, whose exports become globals. The module has no imports, and each export
/// begins a line, before `class`, `function` or `const`.
fn classic(module: &str) -> String {
    let mut names = Vec::new();
    let mut script = String::from("(() => {\n\"use strict\";\n");
    for line in module.lines() {
        let line = line.strip_prefix("export ").map_or(line, |declaration| {
            names.extend(declaration.split([' ', '(']).nth(1));
            declaration
        });
        push(&mut script, line);
    }
    script + &format!("Object.assign(globalThis, {{ {} }});\n}})();\n", names.join(", "))
}

fn push(text: &mut String, line: &str) {
    text.push_str(line);
    text.push('\n');
}
