//! How things look on a terminal and in a pipe.
//!
//! Owns tables, colours, times in words, and the escaping of text that Leasehold did not write. Everything here is
//! text in, text out; nothing prints.

pub(crate) mod check;
pub(crate) mod dead;
pub(crate) mod explain;
pub(crate) mod ledger;
pub(crate) mod plan;
pub(crate) mod report;
pub(crate) mod roster;
pub(crate) mod run;
pub(crate) mod schedule;
pub(crate) mod settings;
pub(crate) mod status;
pub(crate) mod style;
pub(crate) mod table;
pub(crate) mod text;
pub(crate) mod time;
