//! The client's modules as classic scripts, for pages that load them by `<script src>`.

/// The addresses of the client for other people's pages, and the module of `web/` that each is made from.
pub(crate) const CLIENTS: [(&str, &str); 4] = [
    ("signaling.js", "sdk/signaling.js"),
    ("signaling.mjs", "sdk/signaling.js"),
    ("peer.js", "sdk/peer.js"),
    ("peer.mjs", "sdk/peer.js"),
];

/// The `module` as it is sent from the address `name`: a module as `.mjs`, a classic script as `.js`.
pub(crate) fn client(name: &str, module: &str) -> String {
    if name.ends_with(".mjs") { module.to_owned() } else { classic(module) }
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
        script.push_str(line);
        script.push('\n');
    }
    script + &format!("Object.assign(globalThis, {{ {} }});\n}})();\n", names.join(", "))
}
