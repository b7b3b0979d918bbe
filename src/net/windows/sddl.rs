//! What the security descriptor of a file says, read from its text in Microsoft's Security Descriptor Definition Language:
//! `O:` the owner, `D:` the list of who may do what, each entry as `(type;flags;rights;object;inherited object;who)`.
//!
//! What is not understood counts as more access, so that nothing is trusted by mistake.

/// The rights by which the content of a file, or what is in a folder, can be changed: to write, to append, to delete what
/// is in a folder, to delete the file, to change the list or the owner; and the two generic ones, to write and all.
const WRITE: u32 = 0x2 | 0x4 | 0x40 | 0x1_0000 | 0x4_0000 | 0x8_0000 | 0x4000_0000 | 0x1000_0000;
/// The rights by which a file can be read: its content, and the two generic ones, to read and all.
const READ: u32 = 0x1 | 0x8000_0000 | 0x1000_0000;
/// Every right: of what is not understood.
const ALL: u32 = u32::MAX;

/// The rights by their two letters (Microsoft's "ACE Strings").
const RIGHTS: [(&str, u32); 22] = [
    ("FA", 0x001f_01ff),
    ("FR", 0x0012_0089),
    ("FW", 0x0012_0116),
    ("FX", 0x0012_00a0),
    ("GA", 0x1000_0000),
    ("GR", 0x8000_0000),
    ("GW", 0x4000_0000),
    ("GX", 0x2000_0000),
    ("RC", 0x0002_0000),
    ("SD", 0x0001_0000),
    ("WD", 0x0004_0000),
    ("WO", 0x0008_0000),
    ("CC", 0x0001),
    ("DC", 0x0002),
    ("LC", 0x0004),
    ("SW", 0x0008),
    ("RP", 0x0010),
    ("WP", 0x0020),
    ("DT", 0x0040),
    ("LO", 0x0080),
    ("CR", 0x0100),
    ("NW", 0x0000),
];

/// Whose access is no news, since they can read and write every file: the system, administrators, the account
/// Administrator, and what installs Windows. And the owner as such, who is looked at on its own.
const TRUSTED: [&str; 6] = [
    "S-1-5-18",
    "S-1-5-32-544",
    "LA",
    "S-1-5-80-956008885-3418522649-1831038044-1853292631-2271478464",
    "S-1-3-0",
    "S-1-3-4",
];

/// Groups that every user of a machine is in, or may be: everyone, users, authenticated and interactive users, those of the
/// network, guests, anonymous ones, and users of the domain.
const EVERYBODY: [&str; 9] =
    ["S-1-1-0", "S-1-5-32-545", "S-1-5-11", "S-1-5-4", "S-1-5-2", "S-1-5-32-546", "S-1-5-7", "DU", "DG"];

/// The two letters of SDDL for what has the same identifier everywhere.
const ALIASES: [(&str, &str); 14] = [
    ("SY", "S-1-5-18"),
    ("LS", "S-1-5-19"),
    ("NS", "S-1-5-20"),
    ("BA", "S-1-5-32-544"),
    ("BU", "S-1-5-32-545"),
    ("BG", "S-1-5-32-546"),
    ("WD", "S-1-1-0"),
    ("CO", "S-1-3-0"),
    ("OW", "S-1-3-4"),
    ("AU", "S-1-5-11"),
    ("IU", "S-1-5-4"),
    ("NU", "S-1-5-2"),
    ("AN", "S-1-5-7"),
    ("AC", "S-1-15-2-1"),
];

/// Who may do what with a file, besides the user that this process runs as, administrators and the system.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Access {
    /// Whether it belongs to this process's user, to administrators or to the system.
    pub(crate) is_own: bool,
    /// Whom it belongs to.
    pub(crate) owner: String,
    /// The others who may write it.
    pub(crate) writers: Vec<String>,
    /// The groups of all users that may read it.
    pub(crate) public_readers: Vec<String>,
}

impl Access {
    /// What `text` says to a process of `user`, a security identifier (`S-1-...`).
    pub(crate) fn parse(text: &str, user: &str) -> Self {
        let owner = owner(text);
        let is_trusted = |who: &str| who == user || TRUSTED.contains(&who);
        let mut access = Self {
            is_own: !owner.is_empty() && is_trusted(owner),
            owner: if owner.is_empty() { "nobody that is known".to_owned() } else { owner.to_owned() },
            writers: Vec::new(),
            public_readers: Vec::new(),
        };
        let Some(entries) = entries(text) else {
            // Without a list everybody may do everything.
            access.writers.push("everybody: it has no list".to_owned());
            access.public_readers.push("everybody: it has no list".to_owned());
            return access;
        };
        for entry in entries {
            let (who, rights) = granted(entry);
            let who = identifier(who);
            if rights & WRITE != 0 && !is_trusted(who) {
                access.writers.push(who.to_owned());
            }
            if rights & READ != 0 && (EVERYBODY.contains(&who) || rights == ALL) {
                access.public_readers.push(who.to_owned());
            }
        }
        access
    }
}

/// The owner; empty if it is not there.
fn owner(text: &str) -> &str {
    let rest = text.strip_prefix("O:").unwrap_or_default();
    if rest.starts_with("S-") {
        // Up to the group or the list.
        return rest.split(['G', 'D']).next().unwrap_or_default();
    }
    rest.get(..2).filter(|letters| !letters.ends_with(':')).map_or("", identifier)
}

/// The entries of the list in `text`; none if it has no list, which allows everything.
fn entries(text: &str) -> Option<impl Iterator<Item = &str>> {
    let start = text.find("D:").filter(|_| !text.contains("NO_ACCESS_CONTROL"))?;
    let list = text.get(start + 2..)?;
    Some(list.split('(').skip(1).map(|entry| entry.trim_end_matches(')')))
}

/// Whom an entry allows something, and what; nothing if it denies, or is only for what will be made in a folder.
fn granted(entry: &str) -> (&str, u32) {
    let parts: Vec<&str> = entry.split(';').collect();
    let [kind, flags, rights, _, _, who, ..] = parts.as_slice() else { return ("what cannot be read", ALL) };
    let denies = ["D", "OD", "XD", "ZD"].contains(kind);
    // The flags are two letters each.
    let is_for_others = flags.as_bytes().chunks(2).any(|flag| flag == b"IO");
    (who, if denies || is_for_others { 0 } else { mask(rights) })
}

/// The rights of an entry: a number, or two letters for each.
fn mask(rights: &str) -> u32 {
    if let Some(number) = rights.strip_prefix("0x") {
        return u32::from_str_radix(number, 16).unwrap_or(ALL);
    }
    let two =
        |letters: &[u8]| RIGHTS.iter().find(|(name, _)| name.as_bytes() == letters).map_or(ALL, |(_, rights)| *rights);
    rights.as_bytes().chunks(2).map(two).fold(0, |all, rights| all | rights)
}

/// The identifier that two letters stand for, if it is the same on every machine.
fn identifier(who: &str) -> &str {
    ALIASES.iter().find(|(letters, _)| *letters == who).map_or(who, |(_, identifier)| identifier)
}

#[cfg(test)]
mod tests {
    use super::*;

    const USER: &str = "S-1-5-21-1-2-3-1001";

    fn writers(list: &str) -> Vec<String> {
        Access::parse(&format!("O:{USER}{list}"), USER).writers
    }

    #[test]
    fn what_only_its_owner_the_system_and_administrators_may_write_is_own() {
        for list in [
            "D:P(A;;FA;;;S-1-5-21-1-2-3-1001)(A;;FA;;;SY)(A;;FA;;;BA)",
            "D:AI(A;ID;FA;;;SY)(A;OICIID;0x1f01ff;;;BA)(A;OICIIOID;GA;;;CO)",
            "D:(A;;FR;;;WD)(A;;FX;;;BU)(A;;0x1200a9;;;AU)",
            "D:(D;;FA;;;WD)(A;OICIIO;FA;;;BU)",
            "D:",
        ] {
            assert_eq!(writers(list), [""; 0], "{list}");
        }
    }

    #[test]
    fn whoever_else_may_change_a_file_in_any_way_is_named() {
        for (list, who) in [
            ("D:(A;;FA;;;WD)", "S-1-1-0"),
            ("D:AI(A;ID;0x1301bf;;;AU)(A;ID;FA;;;SY)", "S-1-5-11"),
            ("D:(A;;FW;;;BU)", "S-1-5-32-545"),
            ("D:(A;;DC;;;S-1-5-21-1-2-3-1002)", "S-1-5-21-1-2-3-1002"),
            ("D:(A;;CCLC;;;S-1-5-21-1-2-3-1002)", "S-1-5-21-1-2-3-1002"),
            ("D:(A;;RCWD;;;BU)", "S-1-5-32-545"),
            ("D:(A;;WO;;;BU)", "S-1-5-32-545"),
            ("D:(A;;SD;;;BU)", "S-1-5-32-545"),
            ("D:(A;;GW;;;BU)", "S-1-5-32-545"),
            ("D:(A;;GA;;;NS)", "S-1-5-20"),
            ("D:(A;;??;;;BU)", "S-1-5-32-545"),
            ("D:(A;;0xnonsense;;;BU)", "S-1-5-32-545"),
            ("D:(nonsense)", "what cannot be read"),
            ("D:NO_ACCESS_CONTROL", "everybody: it has no list"),
            ("", "everybody: it has no list"),
        ] {
            assert_eq!(writers(list), [who], "{list}");
        }
        // Allowed on a condition, which is not understood.
        assert!(!writers("D:(XA;;FA;;;BU;(WIN://SYSAPPID))").is_empty());
    }

    #[test]
    fn who_owns_a_file_can_change_its_list() {
        let is_own = |text: &str| Access::parse(text, USER).is_own;
        for owner in [USER, "SY", "BA", "LA", "S-1-5-18"] {
            assert!(is_own(&format!("O:{owner}D:P(A;;FA;;;SY)")), "{owner}");
            assert!(is_own(&format!("O:{owner}G:BAD:P(A;;FA;;;SY)")), "{owner}");
        }
        for other in ["S-1-5-21-1-2-3-1002", "S-1-5-21-1-2-3-100", "BU", "WD", "DU", "BG", ""] {
            assert!(!is_own(&format!("O:{other}D:P(A;;FA;;;SY)")), "{other}");
        }
        assert!(!is_own("D:P(A;;FA;;;SY)"));
    }

    #[test]
    fn what_every_user_can_read_is_named() {
        let readers = |list: &str| Access::parse(&format!("O:{USER}{list}"), USER).public_readers;
        for (list, who) in
            [("D:(A;;FR;;;WD)", "S-1-1-0"), ("D:(A;;FA;;;BU)", "S-1-5-32-545"), ("D:(A;;CC;;;AU)", "S-1-5-11")]
        {
            assert_eq!(readers(list), [who], "{list}");
        }
        for list in ["D:(A;;FA;;;SY)", "D:(A;;FR;;;S-1-5-21-1-2-3-1002)", "D:(A;;FX;;;S-1-5-32-545)", "D:(D;;FR;;;WD)"]
        {
            assert_eq!(readers(list), [""; 0], "{list}");
        }
    }
}
