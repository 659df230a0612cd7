//! The `OpenAPI` document, made of the same routes that the router serves.

mod holds;
mod schemas;

use std::sync::LazyLock;

use axum::body::Bytes;
use serde_json::{Map, Value, json};

use super::{
    auth::Callers,
    body::{IMPORT_LIMIT, JSON_LIMIT, UPLOAD_LIMIT},
    route::{Answer, Body, Route},
};

/// The document as JSON text.
pub fn text() -> Bytes {
    static TEXT: LazyLock<Bytes> =
        LazyLock::new(|| Bytes::from(document(&super::routes()).to_string()));
    TEXT.clone()
}

/// The document of these routes.
#[must_use]
pub fn document(routes: &[Route]) -> Value {
    let mut paths: Map<String, Value> = Map::new();
    for route in routes {
        let path = paths.entry(route.path).or_insert_with(|| json!({}));
        if let Value::Object(methods) = path {
            let method = route.method.as_str().to_ascii_lowercase();
            methods.insert(method, operation(route));
        }
    }
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Hallpass",
            "version": env!("CARGO_PKG_VERSION"),
            "description": "Lends an agent a slice of a person's browser session: named sites, for a few minutes, every step on record, never the cookie. Every error is an RFC 9457 problem.",
        },
        "security": [{ "bearer": [] }],
        "paths": paths,
        "components": {
            "securitySchemes": {
                "bearer": {
                    "type": "http",
                    "scheme": "bearer",
                    "description": "The operator token of a person, or an agent's key. Never in the query.",
                },
            },
            "responses": {
                "Problem": {
                    "description": "What was refused or failed, why, and what to do",
                    "content": { "application/problem+json": { "schema": reference("Problem") } },
                },
            },
            "schemas": schemas::all(),
        },
    })
}

fn operation(route: &Route) -> Value {
    let (access, security) = match route.callers {
        Callers::Public => ("Anybody.", json!([])),
        Callers::Persons => ("Persons only.", json!([{ "bearer": [] }])),
        Callers::All => ("Persons and agents.", json!([{ "bearer": [] }])),
    };
    let mut responses = Map::new();
    responses.insert(route.status.to_string(), success(route.answer));
    responses.insert(
        "default".to_owned(),
        json!({ "$ref": "#/components/responses/Problem" }),
    );
    let mut operation = json!({
        "operationId": route.id,
        "summary": route.summary,
        "description": access,
        "security": security,
        "parameters": parameters(route),
        "responses": responses,
    });
    if let (Some(body), Value::Object(members)) = (body(route.body), &mut operation) {
        members.insert("requestBody".to_owned(), body);
    }
    operation
}

fn parameters(route: &Route) -> Vec<Value> {
    let segments = route.path.split('/').filter_map(|segment| {
        let name = segment.strip_prefix('{')?.strip_suffix('}')?;
        Some(json!({
            "name": name, "in": "path", "required": true, "schema": { "type": "string" },
        }))
    });
    let queries = route.query.iter().map(|(name, schema, says)| {
        json!({
            "name": name, "in": "query", "required": false,
            "description": says, "schema": reference(schema),
        })
    });
    segments.chain(queries).collect()
}

fn body(body: Body) -> Option<Value> {
    let json = |schema: &str, required: bool| {
        json!({
            "required": required,
            "description": format!("At most {JSON_LIMIT} bytes."),
            "content": { "application/json": { "schema": reference(schema) } },
        })
    };
    match body {
        Body::None => None,
        Body::Json(schema) => Some(json(schema, true)),
        Body::OptionalJson(schema) => Some(json(schema, false)),
        Body::File => Some(file(IMPORT_LIMIT)),
        Body::Upload => Some(file(UPLOAD_LIMIT)),
    }
}

fn file(limit: usize) -> Value {
    json!({
        "required": true,
        "description": format!("The file as it is, at most {limit} bytes."),
        "content": { "application/octet-stream": {} },
    })
}

fn success(answer: Answer) -> Value {
    match answer {
        Answer::Nothing => json!({ "description": "Done" }),
        Answer::Json(schema) => json!({
            "description": "Done",
            "content": { "application/json": { "schema": reference(schema) } },
        }),
        Answer::File => json!({
            "description": "The file",
            "content": { "application/octet-stream": {} },
        }),
        Answer::Lines(schema) => json!({
            "description": "One object a line",
            "content": { "application/x-ndjson": { "schema": reference(schema) } },
        }),
    }
}

fn reference(schema: &str) -> Value {
    json!({ "$ref": format!("#/components/schemas/{schema}") })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn references<'a>(value: &'a Value, found: &mut Vec<&'a str>) {
        match value {
            Value::Object(members) => {
                for (name, value) in members {
                    if let ("$ref", Value::String(target)) = (name.as_str(), value) {
                        found.push(target);
                    }
                    references(value, found);
                }
            }
            Value::Array(items) => items.iter().for_each(|item| references(item, found)),
            _ => {}
        }
    }

    #[test]
    fn every_reference_leads_somewhere_and_every_schema_is_used() {
        let document = document(&crate::http::routes());
        let mut found = Vec::new();
        references(&document, &mut found);
        for target in &found {
            let pointer = target.strip_prefix('#').unwrap();
            assert!(document.pointer(pointer).is_some(), "{target}");
        }
        let schemas = document["components"]["schemas"].as_object().unwrap();
        for name in schemas.keys() {
            let target = format!("#/components/schemas/{name}");
            assert!(found.contains(&target.as_str()), "{name} is not used");
        }
    }

    #[test]
    fn every_route_is_described_once() {
        let routes = crate::http::routes();
        let document = document(&routes);
        let mut ids: Vec<&str> = routes.iter().map(|route| route.id).collect();
        ids.sort_unstable();
        ids.dedup();
        assert_eq!(ids.len(), routes.len());
        for route in &routes {
            assert!(!route.summary.is_empty(), "{}", route.id);
            let method = route.method.as_str().to_ascii_lowercase();
            assert_eq!(
                document["paths"][route.path][method]["operationId"], route.id,
                "{} {}",
                route.method, route.path
            );
        }
    }
}
