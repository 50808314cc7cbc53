//! Reading of variables: every problem is found, not only the first.

/// The problems of a set of variables. It names each variable and its problem, and never repeats a value, because
/// a secret may have been set under the wrong name.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}", problems.join("; "))]
pub struct ConfigError {
    /// One sentence each, which begins with the name of the variable.
    pub problems: Vec<String>,
}

/// The variables while they are read, and the problems found so far.
pub(crate) struct Variables<F> {
    look_up: F,
    problems: Vec<String>,
}

impl<F: Fn(&str) -> Option<String>> Variables<F> {
    pub(super) fn new(look_up: F) -> Self {
        Self { look_up, problems: Vec::new() }
    }

    /// Returns the settings if there was no problem.
    pub(super) fn finish<T>(self, settings: Option<T>) -> Result<T, ConfigError> {
        match settings {
            Some(settings) if self.problems.is_empty() => Ok(settings),
            _ => Err(ConfigError { problems: self.problems }),
        }
    }

    /// Returns a variable without the white space around it.
    pub(super) fn text(&self, name: &str) -> Option<String> {
        // A secret that was piped into `wrangler secret put` often ends in a newline.
        (self.look_up)(name).map(|text| text.trim().to_owned())
    }

    /// Returns a variable unless it is empty.
    pub(super) fn non_empty(&self, name: &str) -> Option<String> {
        self.text(name).filter(|text| !text.is_empty())
    }

    /// Parses a variable or its default. Returns `None` if that was a problem.
    pub(super) fn read<T>(
        &mut self,
        name: &str,
        default: &str,
        parse: impl FnOnce(&str) -> Result<T, &'static str>,
    ) -> Option<T> {
        match self.non_empty(name) {
            None => self.checked(name, parse(default)),
            Some(text) => self.checked(name, parse(&text)),
        }
    }

    /// Parses a variable without a default. Returns `Some(None)` if it is not set.
    pub(super) fn read_optional<T>(
        &mut self,
        name: &str,
        parse: impl FnOnce(&str) -> Result<T, &'static str>,
    ) -> Option<Option<T>> {
        let text = self.non_empty(name);
        self.parse_optional(name, text, parse)
    }

    /// Parses a text that may have been changed since it was looked up.
    pub(super) fn parse_optional<T>(
        &mut self,
        name: &str,
        text: Option<String>,
        parse: impl FnOnce(&str) -> Result<T, &'static str>,
    ) -> Option<Option<T>> {
        match text {
            None => Some(None),
            Some(text) => self.checked(name, parse(&text)).map(Some),
        }
    }

    fn checked<T>(&mut self, name: &str, result: Result<T, &'static str>) -> Option<T> {
        result.map_err(|problem| self.problem(name, problem)).ok()
    }

    /// Adds a problem: the rest of a sentence that begins with the variable's name.
    #[inline(never)] // Saves 1 KiB of the upload: it has many callers.
    pub(super) fn problem(&mut self, name: &str, problem: &str) {
        self.problems.push(format!("{name} {problem}"));
    }

    /// Reads a variable that must be set.
    pub(super) fn read_required(&mut self, name: &str) -> Option<String> {
        let text = self.read_optional(name, parse_header_text)?;
        if text.is_none() {
            self.problem(name, "is not set");
        }
        text
    }
}

/// Splits a list of entries, which are separated by commas or white space: `.dev.vars` has no line breaks within
/// a value.
pub(super) fn entries(text: &str) -> impl Iterator<Item = &str> {
    text.split(|c: char| c == ',' || c.is_ascii_whitespace()).filter(|entry| !entry.is_empty())
}

/// Accepts what can stand in a header.
pub(super) fn parse_header_text(text: &str) -> Result<String, &'static str> {
    if text.bytes().all(|byte| byte.is_ascii_graphic()) {
        Ok(text.to_owned())
    } else {
        Err("must be printable ASCII without white space")
    }
}
