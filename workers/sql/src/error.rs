//! What is wrong with a statement, where, and what to write instead.

use std::fmt;

/// What a caller can do about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SqlErrorKind {
    /// The text is no SQL.
    Syntax,
    /// The statement makes no sense: a name, a type, an option.
    Invalid,
    /// The statement makes sense, but is not maintained yet.
    Unsupported,
    /// Running a query failed.
    Execution,
}

/// An error in a statement.
#[derive(Clone, Debug, thiserror::Error)]
pub struct SqlError {
    kind: SqlErrorKind,
    message: String,
    hint: Option<String>,
    origin: String,
    place: Option<Place>,
}

/// A place in a text, both counted from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// Line.
    pub line: u64,
    /// Column, in characters.
    pub column: u64,
}

impl SqlError {
    /// An error without a place.
    pub fn new(kind: SqlErrorKind, message: impl Into<String>) -> Self {
        SqlError { kind, message: message.into(), hint: None, origin: String::new(), place: None }
    }

    /// What is asked for is not maintained; `instead` works.
    pub fn unsupported(what: impl Into<String>, instead: impl Into<String>) -> Self {
        SqlError::new(SqlErrorKind::Unsupported, what).hint(instead)
    }

    /// With what to write instead.
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// At `place` of `origin`, unless it already has a place.
    pub fn at(mut self, origin: &str, place: Place) -> Self {
        if self.place.is_none() {
            self.origin = origin.to_string();
            self.place = Some(place);
        }
        self
    }

    /// What to do about it.
    pub fn kind(&self) -> SqlErrorKind {
        self.kind
    }

    /// Where it is, if known.
    pub fn place(&self) -> Option<Place> {
        self.place
    }
}

impl fmt::Display for SqlError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(Place { line, column }) = self.place {
            write!(f, "{}:{line}:{column}: ", self.origin)?;
        }
        write!(f, "{}", self.message)?;
        match &self.hint {
            Some(hint) => write!(f, "\n  hint: {hint}"),
            None => Ok(()),
        }
    }
}

impl From<datafusion::error::DataFusionError> for SqlError {
    fn from(error: datafusion::error::DataFusionError) -> Self {
        use datafusion::error::DataFusionError as D;
        let place = place_of(&error);
        let root = error.find_root();
        let kind = match root {
            D::SQL(_, _) => SqlErrorKind::Syntax,
            D::Plan(_) | D::SchemaError(_, _) => SqlErrorKind::Invalid,
            D::NotImplemented(_) => SqlErrorKind::Unsupported,
            _ => SqlErrorKind::Execution,
        };
        let message = root.strip_backtrace();
        let error = SqlError::new(kind, message);
        match place {
            Some(place) => SqlError { place: Some(place), ..error },
            None => error,
        }
    }
}

fn place_of(error: &datafusion::error::DataFusionError) -> Option<Place> {
    use datafusion::error::DataFusionError as D;
    match error {
        D::Diagnostic(d, _) => d.span.map(|s| Place { line: s.start.line, column: s.start.column }),
        D::Context(_, inner) => place_of(inner),
        D::Collection(all) => all.first().and_then(place_of),
        _ => None,
    }
}

impl SqlError {
    /// Places of the error count from `start` in `origin`: make them places of the whole text.
    pub(crate) fn within(mut self, origin: &str, start: Place) -> Self {
        self.origin = origin.to_string();
        self.place = Some(match self.place {
            None => start,
            Some(p) if p.line <= 1 => {
                Place { line: start.line, column: start.column + p.column.saturating_sub(1) }
            }
            Some(p) => Place { line: start.line + p.line - 1, column: p.column },
        });
        self
    }
}
