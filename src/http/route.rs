//! One route: what the router serves and what the `OpenAPI` document says, in
//! one place, so that neither can lack what the other has.

use axum::{http::Method, routing::MethodRouter};
use std::sync::Arc;

use super::auth::Callers;
use crate::service::Service;

/// A route with its handler and its description.
#[derive(Debug, Clone)]
pub struct Route {
    /// Method.
    pub method: Method,
    /// Path template, as axum and `OpenAPI` both write it.
    pub path: &'static str,
    /// Name of the operation.
    pub id: &'static str,
    /// One sentence.
    pub summary: &'static str,
    /// Who may use it.
    pub callers: Callers,
    /// Query parameters: name, schema, one sentence.
    pub query: Vec<(&'static str, &'static str, &'static str)>,
    /// What it takes.
    pub body: Body,
    /// Status of success.
    pub status: u16,
    /// What it answers then.
    pub answer: Answer,
    pub(super) handler: MethodRouter<Arc<Service>>,
}

/// What a route takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Body {
    /// No body.
    None,
    /// JSON of this schema.
    Json(&'static str),
    /// JSON of this schema, or nothing.
    OptionalJson(&'static str),
    /// Bytes of a file of cookies.
    File,
    /// Bytes of a file for a session.
    Upload,
}

/// What a route answers when it succeeds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Answer {
    /// No body.
    Nothing,
    /// JSON of this schema.
    Json(&'static str),
    /// A JSON object of this schema on each line.
    Lines(&'static str),
    /// Bytes of a file.
    File,
}

// === impl Route ===

impl Route {
    pub(super) fn get(
        path: &'static str,
        id: &'static str,
        handler: MethodRouter<Arc<Service>>,
    ) -> Self {
        Self::new(Method::GET, path, id, handler)
    }

    pub(super) fn post(
        path: &'static str,
        id: &'static str,
        handler: MethodRouter<Arc<Service>>,
    ) -> Self {
        Self::new(Method::POST, path, id, handler)
    }

    pub(super) fn delete(
        path: &'static str,
        id: &'static str,
        handler: MethodRouter<Arc<Service>>,
    ) -> Self {
        Self::new(Method::DELETE, path, id, handler)
    }

    // Persons only unless said otherwise: a forgotten word closes, never opens.
    fn new(
        method: Method,
        path: &'static str,
        id: &'static str,
        handler: MethodRouter<Arc<Service>>,
    ) -> Self {
        Self {
            method,
            path,
            id,
            summary: "",
            callers: Callers::Persons,
            query: Vec::new(),
            body: Body::None,
            status: 204,
            answer: Answer::Nothing,
            handler,
        }
    }

    pub(super) const fn says(mut self, summary: &'static str) -> Self {
        self.summary = summary;
        self
    }

    pub(super) const fn callers(mut self, callers: Callers) -> Self {
        self.callers = callers;
        self
    }

    pub(super) fn query(
        mut self,
        name: &'static str,
        schema: &'static str,
        says: &'static str,
    ) -> Self {
        self.query.push((name, schema, says));
        self
    }

    pub(super) const fn takes(mut self, body: Body) -> Self {
        self.body = body;
        self
    }

    pub(super) const fn answers(mut self, status: u16, schema: &'static str) -> Self {
        self.status = status;
        self.answer = Answer::Json(schema);
        self
    }

    pub(super) const fn answers_lines(mut self, schema: &'static str) -> Self {
        self.status = 200;
        self.answer = Answer::Lines(schema);
        self
    }

    pub(super) const fn answers_file(mut self) -> Self {
        self.status = 200;
        self.answer = Answer::File;
        self
    }

    pub(super) const fn answers_nothing(mut self) -> Self {
        self.status = 204;
        self.answer = Answer::Nothing;
        self
    }
}
