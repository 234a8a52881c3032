//! Colours: few, and only where a person looks.

use std::io::IsTerminal;

use anstyle::{AnsiColor, Style};
use leasehold_common::run::{Outcome, RunState};

/// What a piece of text means. Every tone goes with a word, so that nothing depends on seeing the colour.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Tone {
    /// As it should be.
    Good,
    /// Worth a look.
    Warn,
    /// Somebody has to act.
    Bad,
    /// Beside the point.
    Dim,
    /// Nothing in particular.
    Plain,
}

impl Tone {
    fn style(self) -> Style {
        match self {
            Self::Good => AnsiColor::Green.on_default(),
            Self::Warn => AnsiColor::Yellow.on_default(),
            Self::Bad => AnsiColor::Red.on_default().bold(),
            Self::Dim => Style::new().dimmed(),
            Self::Plain => Style::new(),
        }
    }

    /// How an outcome looks.
    pub(crate) fn of_outcome(outcome: Outcome) -> Self {
        match outcome {
            Outcome::Succeeded => Self::Good,
            Outcome::Failed => Self::Warn,
            Outcome::Dead => Self::Bad,
            Outcome::Overlapped | Outcome::Misfired | Outcome::Expired => Self::Warn,
            Outcome::Cancelled | Outcome::Paused | Outcome::BlackedOut | Outcome::Superseded | Outcome::Gated => {
                Self::Dim
            }
        }
    }

    /// How a state looks.
    pub(crate) fn of_state(state: RunState) -> Self {
        match state {
            RunState::Waiting => Self::Dim,
            RunState::Ready | RunState::Running | RunState::Ended => Self::Plain,
        }
    }
}

/// Whether to write colours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Palette {
    colours: bool,
}

impl Palette {
    /// For standard output: colours on a terminal that knows them, unless `NO_COLOR` is set.
    pub(crate) fn stdout() -> Self {
        Self { colours: std::io::stdout().is_terminal() && wanted() }
    }

    /// The same for standard error.
    pub(crate) fn stderr() -> Self {
        Self { colours: std::io::stderr().is_terminal() && wanted() }
    }

    /// No colours.
    #[cfg(test)]
    pub(crate) fn plain() -> Self {
        Self { colours: false }
    }

    /// Colours, wherever it goes.
    #[cfg(test)]
    pub(crate) fn coloured() -> Self {
        Self { colours: true }
    }

    /// The text in its tone.
    pub(crate) fn paint(self, tone: Tone, text: &str) -> String {
        if !self.colours || tone == Tone::Plain || text.is_empty() {
            return text.to_owned();
        }
        let style = tone.style();
        format!("{style}{text}{style:#}")
    }
}

/// <https://no-color.org>: set to anything but nothing.
fn wanted() -> bool {
    let set = |name| std::env::var_os(name).is_some_and(|value| !value.is_empty());
    !set("NO_COLOR") && std::env::var_os("TERM").is_none_or(|term| term != "dumb")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn colours_only_where_they_are_wanted() {
        assert_eq!(Palette::plain().paint(Tone::Bad, "dead"), "dead");
        assert_eq!(Palette::coloured().paint(Tone::Plain, "x"), "x");
        let red = Palette::coloured().paint(Tone::Bad, "dead");
        assert!(red.starts_with("\x1b[") && red.ends_with("\x1b[0m") && red.contains("dead"), "{red:?}");
    }
}
