//! Runs the real binary as a user would and talks to it over its real doors.
//!
//! For the integration tests and the benches; never shipped. It panics on whatever a test could not
//! go on from. Its clients use nothing but the standard library and JSON, so that a mistake in the server's
//! libraries cannot hide itself in them.

pub mod archive;
pub mod folder;
pub mod http;
pub mod load;
pub mod mcp;
pub mod process;

pub use folder::Folder;
pub use http::{Connection, Response};
pub use mcp::{Door, HttpClient, SseClient, StdioClient, tool_error, tool_json};
pub use process::{Command, Output, Server};
