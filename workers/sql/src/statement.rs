//! Statements as values.

use std::collections::BTreeMap;

use crate::error::Place;

/// A statement of the catalog, or a query.
#[derive(Clone, Debug, PartialEq)]
pub struct Statement {
    /// Where it was read: a file name.
    pub origin: String,
    /// Where it begins there.
    pub place: Place,
    /// Its text, without the semicolon.
    pub text: String,
    /// What it says.
    pub kind: StatementKind,
}

/// What a statement says.
#[derive(Clone, Debug, PartialEq)]
pub enum StatementKind {
    /// `CREATE SOURCE`
    Source(SourceStatement),
    /// `CREATE [MATERIALIZED] VIEW`
    View(ViewStatement),
    /// Anything that only reads.
    Query,
}

/// `CREATE SOURCE name (columns, PRIMARY KEY (…), CHECK (…)) WITH (options)`
#[derive(Clone, Debug, PartialEq)]
pub struct SourceStatement {
    /// Name.
    pub name: String,
    /// Columns in order.
    pub columns: Vec<ColumnStatement>,
    /// Primary key columns; empty without one.
    pub key: Vec<String>,
    /// What has to hold of each row.
    pub checks: Vec<CheckStatement>,
    /// Options in lower case.
    pub options: BTreeMap<String, String>,
}

/// One column of a source.
#[derive(Clone, Debug, PartialEq)]
pub struct ColumnStatement {
    /// Name.
    pub name: String,
    /// SQL type as written.
    pub sql_type: String,
    /// `NOT NULL`, or part of the primary key.
    pub required: bool,
    /// `DEFAULT NULL`: files may lack it.
    pub optional: bool,
    /// Where it stands.
    pub place: Place,
}

/// `[CONSTRAINT name] CHECK (expression)`
#[derive(Clone, Debug, PartialEq)]
pub struct CheckStatement {
    /// The constraint's name; without one, the expression.
    pub name: String,
    /// The expression.
    pub sql: String,
    /// Where the expression stands.
    pub place: Place,
}

/// `CREATE [MATERIALIZED] VIEW name [WITH (options)] AS query`
#[derive(Clone, Debug, PartialEq)]
pub struct ViewStatement {
    /// Name.
    pub name: String,
    /// Committed as a table, or only a name for a query.
    pub materialized: bool,
    /// Options in lower case.
    pub options: BTreeMap<String, String>,
    /// The query's text.
    pub query: String,
    /// Where the query begins.
    pub query_place: Place,
}
