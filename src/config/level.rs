//! Log levels.

use std::str::FromStr;

use serde::Serialize;

/// The level of a log line. As `LOG_LEVEL`, the lowest level that is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    /// Everything. No line has this level.
    Debug,
    /// The request succeeded.
    Info,
    /// The caller's fault: 4xx.
    Warn,
    /// Our fault or Bedrock's: 5xx.
    Error,
}

impl FromStr for Level {
    type Err = ();

    /// Ignores case and accepts Python's `WARNING` and `CRITICAL`, which the Lambda takes.
    fn from_str(text: &str) -> Result<Self, ()> {
        match text.to_ascii_lowercase().as_str() {
            "debug" => Ok(Self::Debug),
            "info" => Ok(Self::Info),
            "warn" | "warning" => Ok(Self::Warn),
            "error" | "critical" => Ok(Self::Error),
            _ => Err(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_level_is_parsed_in_any_case_and_by_pythons_names() {
        for (text, expected) in [
            ("debug", Ok(Level::Debug)),
            ("info", Ok(Level::Info)),
            ("warn", Ok(Level::Warn)),
            ("error", Ok(Level::Error)),
            ("WARNING", Ok(Level::Warn)),
            ("CRITICAL", Ok(Level::Error)),
            ("Info", Ok(Level::Info)),
            ("", Err(())),
            (" info", Err(())),
            ("trace", Err(())),
            ("20", Err(())),
        ] {
            assert_eq!(text.parse::<Level>(), expected, "{text:?}");
        }
    }
}
