//! Text to statements.

use std::collections::BTreeMap;

use datafusion::sql::sqlparser::ast::{
    CheckConstraint, ColumnDef, ColumnOption, Expr, Spanned, TableConstraint, Value,
};
use datafusion::sql::sqlparser::dialect::GenericDialect;
use datafusion::sql::sqlparser::keywords::Keyword;
use datafusion::sql::sqlparser::parser::{Parser, ParserError};
use datafusion::sql::sqlparser::tokenizer::{Location, Token, TokenWithSpan, Tokenizer};

use crate::error::{Place, SqlError, SqlErrorKind};
use crate::statement::{
    CheckStatement, ColumnStatement, SourceStatement, Statement, StatementKind, ViewStatement,
};

const SOURCE_OPTIONS: [&str; 7] =
    ["location", "format", "mode", "version", "deleted", "event_time", "duplicates"];
const VIEW_OPTIONS: [&str; 1] = ["time_column"];

/// The statements of `text`, which was read from `origin`.
///
/// # Errors
/// The first thing that is no statement, with its place.
pub fn parse(text: &str, origin: &str) -> Result<Vec<Statement>, SqlError> {
    let dialect = GenericDialect {};
    let tokens = Tokenizer::new(&dialect, text).tokenize_with_location().map_err(|e| {
        SqlError::new(SqlErrorKind::Syntax, e.message).at(origin, place(e.location))
    })?;
    let mut statements = vec![];
    for part in tokens.split(|t| t.token == Token::SemiColon) {
        let significant: Vec<TokenWithSpan> =
            part.iter().filter(|t| !matches!(t.token, Token::Whitespace(_))).cloned().collect();
        let (Some(first), Some(last)) = (significant.first(), significant.last()) else { continue };
        let source = Source { text, origin, start: place(first.span.start) };
        let body = source.slice(first.span.start, last.span.end);
        let kind = source.statement(significant).map_err(|e| e.at(origin, source.start))?;
        statements.push(Statement {
            origin: origin.to_string(),
            place: source.start,
            text: body,
            kind,
        });
    }
    Ok(statements)
}

fn place(l: Location) -> Place {
    Place { line: l.line, column: l.column }
}

struct Source<'a> {
    text: &'a str,
    origin: &'a str,
    start: Place,
}

impl Source<'_> {
    /// The text between two places, end exclusive.
    fn slice(&self, start: Location, end: Location) -> String {
        let offset = |l: Location| {
            let line =
                self.text.split_inclusive('\n').take(l.line as usize - 1).map(str::len).sum();
            let rest: &str = &self.text[line..];
            let column = rest.char_indices().nth(l.column as usize - 1).map_or(rest.len(), |c| c.0);
            line + column
        };
        self.text[offset(start)..offset(end)].to_string()
    }

    fn statement(&self, tokens: Vec<TokenWithSpan>) -> Result<StatementKind, SqlError> {
        let word = |i: usize| match tokens.get(i).map(|t| &t.token) {
            Some(Token::Word(w)) => w.value.to_uppercase(),
            _ => String::new(),
        };
        let dialect = GenericDialect {};
        let parser =
            |skip: usize| Parser::new(&dialect).with_tokens_with_locations(tokens[skip..].to_vec());
        match (word(0).as_str(), word(1).as_str(), word(2).as_str()) {
            ("CREATE", "SOURCE", _) => self.source(parser(2)).map(StatementKind::Source),
            ("CREATE", "VIEW", _) => self.view(parser(2), false).map(StatementKind::View),
            ("CREATE", "MATERIALIZED", "VIEW") => {
                self.view(parser(3), true).map(StatementKind::View)
            }
            ("SELECT" | "WITH" | "SHOW" | "EXPLAIN" | "DESCRIBE" | "VALUES", ..) => {
                Ok(StatementKind::Query)
            }
            (verb, noun, _) => {
                let known = "CREATE SOURCE, CREATE VIEW, CREATE MATERIALIZED VIEW and SELECT";
                let what = format!("'{}' is not a statement here", format!("{verb} {noun}").trim());
                Err(SqlError::unsupported(what, format!("write one of {known}")))
            }
        }
    }

    fn error(&self, parser: &Parser<'_>, error: ParserError) -> SqlError {
        let message = match error {
            ParserError::TokenizerError(m) | ParserError::ParserError(m) => m,
            ParserError::RecursionLimitExceeded => "nested too deeply".to_string(),
        };
        let at = parser.peek_token().span.start;
        let at = if at.line == 0 { self.start } else { place(at) };
        let message = message.split(" at Line: ").next().unwrap_or_default().to_string();
        SqlError::new(SqlErrorKind::Syntax, message).at(self.origin, at)
    }

    fn source(&self, mut parser: Parser<'_>) -> Result<SourceStatement, SqlError> {
        let name = self.name(&mut parser)?;
        let parsed = parser.parse_columns();
        let (defs, constraints) = parsed.map_err(|e| self.error(&parser, e))?;
        if defs.is_empty() {
            let m = format!("source '{name}' has no columns");
            return Err(SqlError::new(SqlErrorKind::Invalid, m)
                .hint("list them: CREATE SOURCE name (column TYPE, …) WITH (location = '…')"));
        }
        let (mut key, mut checks) = (vec![], vec![]);
        for constraint in &constraints {
            match constraint {
                TableConstraint::PrimaryKey(p) => {
                    key.extend(p.columns.iter().map(|c| fold_text(&c.column.to_string())));
                }
                TableConstraint::Check(check) => checks.push(self.check(check)),
                other => {
                    let what = format!("constraint '{other}' is not checked");
                    return Err(SqlError::unsupported(what, "PRIMARY KEY (…) and CHECK (…) are"));
                }
            }
        }
        let mut columns = vec![];
        for def in &defs {
            columns.push(self.column(def, &mut key, &mut checks)?);
        }
        let options = self.options(&mut parser, &SOURCE_OPTIONS)?;
        self.end(&mut parser)?;
        Ok(SourceStatement { name, columns, key, checks, options })
    }

    fn column(
        &self,
        def: &ColumnDef,
        key: &mut Vec<String>,
        checks: &mut Vec<CheckStatement>,
    ) -> Result<ColumnStatement, SqlError> {
        let name = fold(&def.name.value, def.name.quote_style);
        let (mut not_null, mut optional) = (false, false);
        for option in &def.options {
            match &option.option {
                ColumnOption::PrimaryKey(_) => key.push(name.clone()),
                ColumnOption::NotNull => not_null = true,
                ColumnOption::Check(check) => checks.push(self.check(check)),
                ColumnOption::Null | ColumnOption::Comment(_) => {}
                ColumnOption::Default(Expr::Value(v)) if v.value == Value::Null => optional = true,
                other => {
                    let what = format!("'{other}' of column '{name}' is not supported");
                    let instead = "write NOT NULL, PRIMARY KEY, CHECK (…), or DEFAULT NULL for a \
                                   column that files may lack";
                    let place = place(def.name.span.start);
                    return Err(SqlError::unsupported(what, instead).at(self.origin, place));
                }
            }
        }
        let required = not_null || key.contains(&name);
        if required && optional {
            let m = format!("column '{name}' is NOT NULL, but files may lack it");
            let error = SqlError::new(SqlErrorKind::Invalid, m);
            return Err(error
                .hint("drop NOT NULL or DEFAULT NULL")
                .at(self.origin, place(def.name.span.start)));
        }
        Ok(ColumnStatement {
            required,
            optional,
            name,
            sql_type: def.data_type.to_string(),
            place: place(def.name.span.start),
        })
    }

    fn check(&self, check: &CheckConstraint) -> CheckStatement {
        let sql = check.expr.to_string();
        let name = check.name.as_ref().map(|n| fold(&n.value, n.quote_style));
        let start = check.expr.span().start;
        let place = if start.line == 0 { self.start } else { place(start) };
        CheckStatement { name: name.unwrap_or_else(|| sql.clone()), sql, place }
    }

    fn view(&self, mut parser: Parser<'_>, materialized: bool) -> Result<ViewStatement, SqlError> {
        let name = self.name(&mut parser)?;
        let options = self.options(&mut parser, &VIEW_OPTIONS)?;
        let expected = parser.expect_keyword(Keyword::AS);
        expected.map_err(|e| self.error(&parser, e))?;
        let begin = parser.peek_token().span.start;
        let query = parser.parse_query();
        query.map_err(|e| self.error(&parser, e))?;
        parser.prev_token();
        let end = parser.next_token().span.end;
        self.end(&mut parser)?;
        let query = self.slice(begin, end);
        Ok(ViewStatement { name, materialized, options, query, query_place: place(begin) })
    }

    fn name(&self, parser: &mut Parser<'_>) -> Result<String, SqlError> {
        let name = parser.parse_identifier();
        let name = name.map_err(|e| self.error(parser, e))?;
        let name = fold(&name.value, name.quote_style);
        let plain = |c: char| c.is_alphanumeric() || c == '_';
        match name.chars().all(plain) && !name.is_empty() && !name.starts_with('_') {
            true => Ok(name),
            false => Err(SqlError::new(SqlErrorKind::Invalid, format!("'{name}' is no name"))
                .hint("use letters, digits and underscores, not beginning with an underscore")),
        }
    }

    /// `[WITH (name = 'value', …)]`
    fn options(
        &self,
        parser: &mut Parser<'_>,
        known: &[&str],
    ) -> Result<BTreeMap<String, String>, SqlError> {
        let mut options = BTreeMap::new();
        if !parser.parse_keyword(Keyword::WITH) {
            return Ok(options);
        }
        let open = parser.expect_token(&Token::LParen);
        open.map_err(|e| self.error(parser, e))?;
        loop {
            let at = place(parser.peek_token().span.start);
            let name = parser.parse_identifier().map_err(|e| self.error(parser, e))?;
            let name = name.value.to_lowercase();
            if name == "retain" {
                return Err(SqlError::unsupported(
                    "'retain' is not supported yet",
                    "leave it out: all history is kept",
                )
                .at(self.origin, at));
            }
            if !known.contains(&name.as_str()) {
                let m = format!("unknown option '{name}'");
                let hint = format!("the options are {}", known.join(", "));
                return Err(SqlError::new(SqlErrorKind::Invalid, m).hint(hint).at(self.origin, at));
            }
            let equals = parser.expect_token(&Token::Eq);
            equals.map_err(|e| self.error(parser, e))?;
            let value = parser.parse_literal_string().map_err(|e| self.error(parser, e))?;
            options.insert(name, value);
            if !parser.consume_token(&Token::Comma) {
                break;
            }
        }
        let close = parser.expect_token(&Token::RParen);
        close.map_err(|e| self.error(parser, e))?;
        Ok(options)
    }

    fn end(&self, parser: &mut Parser<'_>) -> Result<(), SqlError> {
        match parser.peek_token() {
            TokenWithSpan { token: Token::EOF, .. } => Ok(()),
            token => {
                let m = format!("unexpected '{}' after the statement", token.token);
                let error = SqlError::new(SqlErrorKind::Syntax, m);
                Err(error.hint("end statements with ';'").at(self.origin, place(token.span.start)))
            }
        }
    }
}

/// Unquoted names are lower case.
fn fold(name: &str, quote: Option<char>) -> String {
    if quote.is_some() { name.to_string() } else { name.to_lowercase() }
}

fn fold_text(name: &str) -> String {
    match name.strip_prefix('"').and_then(|n| n.strip_suffix('"')) {
        Some(quoted) => quoted.to_string(),
        None => name.to_lowercase(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_source_has_columns_key_and_options() {
        let text = "-- hours\nCREATE SOURCE m (k VARCHAR, h TIMESTAMP NOT NULL, v BIGINT,\n PRIMARY KEY (k))\n WITH (location = 'm/', mode = 'upsert');";
        let parsed = parse(text, "m.sql").expect("parses");
        let StatementKind::Source(s) = &parsed[0].kind else { panic!("a source") };
        assert_eq!((s.name.as_str(), s.key.as_slice()), ("m", ["k".to_string()].as_slice()));
        assert_eq!(s.options["mode"], "upsert");
        assert!(s.columns[0].required && s.columns[1].required && !s.columns[2].required);
        assert_eq!(parsed[0].place, Place { line: 2, column: 1 });
    }

    #[test]
    fn checks_have_a_name_or_are_one() {
        let text = "CREATE SOURCE m (k INT CHECK (k > 0), v INT DEFAULT NULL,\n CHECK (v <> k),
            CONSTRAINT Small CHECK (v < 10)) WITH (location = 'm/')";
        let parsed = parse(text, "m.sql").expect("parses");
        let StatementKind::Source(s) = &parsed[0].kind else { panic!("a source") };
        let checks: Vec<_> = s.checks.iter().map(|c| (c.name.as_str(), c.sql.as_str())).collect();
        assert_eq!(checks, [("v <> k", "v <> k"), ("small", "v < 10"), ("k > 0", "k > 0")]);
        assert_eq!(s.checks[0].place, Place { line: 2, column: 9 });
        assert!(s.columns[1].optional && !s.columns[0].optional);
        let refused = parse("CREATE SOURCE m (k INT DEFAULT 3) WITH (location = 'm/')", "m.sql");
        let said = refused.expect_err("refused").to_string();
        assert!(said.contains("'DEFAULT 3' of column 'k' is not supported"), "{said}");
    }

    #[test]
    fn a_view_keeps_its_query_and_place() {
        let parsed = parse("CREATE MATERIALIZED VIEW v AS\n  SELECT 'a;b' AS x", "v.sql");
        let parsed = parsed.expect("parses");
        let StatementKind::View(v) = &parsed[0].kind else { panic!("a view") };
        assert_eq!(v.query, "SELECT 'a;b' AS x");
        assert_eq!(v.query_place, Place { line: 2, column: 3 });
    }

    #[test]
    fn errors_name_place_reason_and_remedy() {
        let shown = |text: &str| parse(text, "f.sql").expect_err("refused").to_string();
        let unknown = shown("SELECT 1;\nCREATE SOURCE s (a INT) WITH (locatoin = 'x')");
        assert!(unknown.starts_with("f.sql:2:31: unknown option 'locatoin'"), "{unknown}");
        assert!(unknown.contains("hint: the options are location, format"), "{unknown}");
        let verb = shown("DELETE FROM x");
        assert!(verb.starts_with("f.sql:1:1: 'DELETE FROM' is not a statement here"), "{verb}");
        let syntax = shown("CREATE VIEW v AS SELEC 1");
        assert!(syntax.starts_with("f.sql:1:"), "{syntax}");
    }
}
