//! The name of this machine, for people: nothing is decided by it.

/// The machine's node name.
#[must_use]
pub fn name() -> String {
    rustix::system::uname().nodename().to_string_lossy().into_owned()
}
