//! Who is where, and who hears what.

pub mod names;
pub mod table;
