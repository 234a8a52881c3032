//! Sizes as users write them: `64KiB`, `512MiB`, `2GiB`, `100MB`.

/// Why a size was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is not a size; write a whole number with a unit, such as 64KiB, 512MiB, 2GiB or 100MB")]
pub struct SizeError {
    text: String,
}

/// Units of 1,024 before those of 1,000: [`format`] prefers them.
const UNITS: [(&str, u64); 9] = [
    ("TiB", 1 << 40),
    ("GiB", 1 << 30),
    ("MiB", 1 << 20),
    ("KiB", 1 << 10),
    ("TB", 1_000_000_000_000),
    ("GB", 1_000_000_000),
    ("MB", 1_000_000),
    ("KB", 1_000),
    ("B", 1),
];

/// The largest size that is accepted: more than any machine has, and still a number of every operating system.
const MAX: u64 = 1 << 60;

/// Parses a whole number with a unit; the result is in bytes.
///
/// ```
/// use leasehold_common::size;
/// assert_eq!(size::parse("512MiB"), Ok(512 * 1024 * 1024));
/// assert!(size::parse("512").is_err());
/// ```
pub fn parse(text: &str) -> Result<u64, SizeError> {
    let size = || {
        let digits = text.find(|c: char| !c.is_ascii_digit())?;
        let (_, unit) = UNITS.into_iter().find(|(name, _)| *name == &text[digits..])?;
        let bytes = text[..digits].parse::<u64>().ok()?.checked_mul(unit)?;
        (bytes <= MAX).then_some(bytes)
    };
    size().ok_or_else(|| SizeError { text: text.chars().take(40).collect() })
}

/// Writes a size so that [`parse`] reads it back: `512MiB`, `100MB`, `17B`.
#[must_use]
pub fn format(bytes: u64) -> String {
    let fits = |unit: &u64| bytes >= *unit && bytes.is_multiple_of(*unit);
    let (name, unit) = UNITS.into_iter().find(|(_, unit)| fits(unit)).unwrap_or(("B", 1));
    format!("{}{name}", bytes / unit)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_people_write() {
        for (text, bytes) in [("0B", 0), ("17B", 17), ("64KiB", 65_536), ("100MB", 100_000_000), ("2GiB", 2 << 30)] {
            assert_eq!(parse(text), Ok(bytes), "{text}");
            assert_eq!(format(bytes), text);
        }
    }

    #[test]
    fn refuses_everything_else() {
        for text in ["", "5", "MiB", "-5MiB", "1.5GiB", "5 MiB", "5mib", "5M", "99999999999999999999B", "2000000TiB"] {
            assert!(parse(text).is_err(), "{text}");
        }
    }
}
