//! The `sql` handler: statements in the tenant's own database, one transaction a run.
//!
//! Values are bound, never pasted into a text. What a run answers and how it fails is a contract:
//! docs/reference/handlers.md. How a tenant is kept to its own is `leasehold_store`'s.

use leasehold_common::definition::Definition;
use leasehold_common::statement::{SqlParam, SqlStatement};
use leasehold_common::template::{Escape, Template};
use leasehold_store::{Param, TenantStatement};
use serde_json::{Value, json};

use super::databases::{Databases, failed};
use super::{HandlerError, RunContext};

/// Statements with the templates of their parameters parsed.
#[derive(Debug)]
pub(crate) struct SqlCall {
    statements: Vec<(String, Vec<Source>)>,
}

/// Where the value of a parameter comes from.
#[derive(Debug)]
enum Source {
    Template(Template),
    Value(Param),
    Payload(String),
}

impl SqlCall {
    /// Checks the parts of a `sql` handler.
    pub(crate) fn compile(statements: &[SqlStatement]) -> Result<Self, String> {
        let statement = |statement: &SqlStatement| {
            let params = statement.params.iter().map(source).collect::<Result<_, String>>()?;
            Ok((statement.statement.clone(), params))
        };
        Ok(Self { statements: statements.iter().map(statement).collect::<Result<_, String>>()? })
    }

    fn bound(&self, context: &RunContext) -> Result<Vec<TenantStatement<'_>>, HandlerError> {
        let bind = |source: &Source| match source {
            Source::Template(template) => Ok(Param::Text(template.render(&context.scope(), Escape::None)?)),
            Source::Value(value) => Ok(value.clone()),
            Source::Payload(name) => match SqlParam::find(context.payload(), name) {
                Some(value) => param(value).map_err(|what| HandlerError::permanent(what).code("payload")),
                None => {
                    let what = format!("the payload of job {} has no {name:?}", context.job());
                    Err(HandlerError::permanent(what).code("payload"))
                }
            },
        };
        let mut bound = Vec::with_capacity(self.statements.len());
        for (sql, params) in &self.statements {
            bound.push(TenantStatement { sql, params: params.iter().map(bind).collect::<Result<_, _>>()? });
        }
        Ok(bound)
    }

    /// Runs the statements; when the run must stop, the one that is running is cancelled and nothing is kept.
    pub(crate) async fn call(&self, databases: &Databases, context: RunContext) -> Result<Value, HandlerError> {
        let statements = self.bound(&context)?;
        let place = databases.place(context.tenant()).await?;
        let limit = context.time_left().unwrap_or(Definition::DEFAULT_TIMEOUT);
        let done = tokio::select! {
            biased;
            done = databases.pools.run(&place, &statements, limit) => done.map_err(failed)?,
            () = context.cancelled() => return Err(HandlerError::new("the statements were cancelled and undone")),
        };
        let total: u64 = done.iter().map(|done| done.rows_affected).sum();
        Ok(json!({ "rows_affected": total, "statements": done }))
    }
}

fn source(source: &SqlParam) -> Result<Source, String> {
    Ok(match source {
        SqlParam::Text(text) => {
            Source::Template(Template::parse(text).map_err(|error| format!("parameter {text:?}: {error}"))?)
        }
        SqlParam::Value(value) => Source::Value(param(value)?),
        SqlParam::Payload(name) => Source::Payload(name.clone()),
    })
}

/// A list or a map is bound as its JSON text.
fn param(value: &Value) -> Result<Param, String> {
    Ok(match value {
        Value::Null => Param::Null,
        Value::Bool(value) => Param::Bool(*value),
        Value::String(text) => Param::Text(text.clone()),
        Value::Number(number) => match (number.as_i64(), number.as_f64()) {
            (Some(whole), _) => Param::Int(whole),
            (None, Some(float)) if !number.is_u64() => Param::Float(float),
            _ => return Err(format!("{number} does not fit into 64 bits; write it as text and cast it")),
        },
        Value::Array(_) | Value::Object(_) => Param::Text(value.to_string()),
    })
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use std::sync::Arc;

    use super::super::context::tests::context;
    use super::*;

    fn call(params: &[SqlParam]) -> SqlCall {
        SqlCall::compile(&[SqlStatement { statement: "SELECT $1".to_owned(), params: params.to_vec() }]).unwrap()
    }

    #[test]
    fn parameters_come_from_templates_values_and_the_payload() {
        let payload = json!({ "limit": 3, "deep": { "list": [true, {"a": 1}] }, "hostile": "'; DROP TABLE t; --" });
        let context = context().with_payload(Some(Arc::new(payload)));
        let of = |name: &str| SqlParam::Payload(name.to_owned());
        let call = call(&[
            SqlParam::Text("{{ tenant.id }} {{ tenant.labels.region }}".to_owned()),
            SqlParam::Value(json!(1.5)),
            SqlParam::Value(Value::Null),
            of("limit"),
            of("/deep/list/0"),
            of("/deep/list/1"),
            of("hostile"),
        ]);
        let bound = call.bound(&context).unwrap();
        assert_eq!(
            bound[0].params,
            [
                Param::Text("acme us/east 1".to_owned()),
                Param::Float(1.5),
                Param::Null,
                Param::Int(3),
                Param::Bool(true),
                Param::Text("{\"a\":1}".to_owned()),
                Param::Text("'; DROP TABLE t; --".to_owned()),
            ]
        );
        assert_eq!(bound[0].sql, "SELECT $1", "no value becomes part of the text");
    }

    #[test]
    fn what_is_not_there_is_permanent() {
        let error = call(&[SqlParam::Payload("limit".to_owned())]).bound(&context()).unwrap_err();
        assert!(!error.retry && error.message.contains("\"limit\""), "{error}");
        assert!(param(&json!(u64::MAX)).is_err());
        assert!(
            SqlCall::compile(&[SqlStatement {
                statement: String::new(),
                params: vec![SqlParam::Text("{{ oops }}".to_owned())]
            }])
            .is_err()
        );
    }
}
