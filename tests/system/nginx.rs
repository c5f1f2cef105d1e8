//! Behind nginx: `examples/nginx`.

use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;

use crate::behind::{self, Site, Upstream};
use crate::example::{EXAMPLES, Example};
use crate::program::{Program, free_address, make_certificate};

/// The parts of the main configuration that a site needs, in the foreground.
fn main_configuration(dir: &Path) -> String {
    let dir = dir.display();
    let temporary: String = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
        .map(|name| format!("    {name}_temp_path {dir}/{name};\n"))
        .concat();
    format!(
        "daemon off;\npid {dir}/nginx.pid;\nerror_log stderr;\nuser www-data;\n\
         events {{}}\nhttp {{\n    include /etc/nginx/mime.types;\n    access_log off;\n\
         {temporary}    include {dir}/site.conf;\n}}\n"
    )
}

fn start(dir: &Path, example: Example, plain: SocketAddr, secure: SocketAddr) -> Program {
    make_certificate(dir);
    let dir_text = dir.display();
    example
        .with("listen 80;", &format!("listen {plain};"))
        .with("listen 443 ssl;", &format!("listen {secure} ssl;"))
        .with("/etc/ssl/certs/example.com.pem", &format!("{dir_text}/cert.pem"))
        .with("/etc/ssl/private/example.com.key", &format!("{dir_text}/key.pem"))
        .with("/srv/site/static/", &format!("{EXAMPLES}/flask/static/"))
        .write_to(dir);
    let main = dir.join("nginx.conf");
    fs::write(&main, main_configuration(dir)).expect("the temporary directory is writable");
    Program::start(Command::new("nginx").args(["-e", "stderr", "-c"]).arg(&main), plain)
}

#[test]
#[ignore = "run by tests/system/run"]
fn over_a_unix_socket() {
    let builder = behind::builder();
    let path = builder.dir().join("http.sock");
    let example =
        Example::read("nginx/site.conf").with("/run/site/http.sock", path.to_str().expect("UTF-8"));
    let server = behind::start(builder, &example);
    let (plain, secure) = (free_address(), free_address());
    let _proxy = start(server.dir(), example, plain, secure);
    let site = Site { server: &server, plain, secure, upstream: Upstream::Unix(path) };
    behind::shared_connections(&site);
    behind::check(&site);
    behind::static_file(&site);
}

#[test]
#[ignore = "run by tests/system/run"]
fn over_tcp() {
    let addr = free_address();
    let example = Example::read("nginx/site.conf")
        .with("server unix:/run/site/http.sock", &format!("server {addr}"))
        .with("--bind unix:/run/site/http.sock", &format!("--bind {addr}"));
    let server = behind::start(behind::builder(), &example);
    let (plain, secure) = (free_address(), free_address());
    let _proxy = start(server.dir(), example, plain, secure);
    let site = Site { server: &server, plain, secure, upstream: Upstream::Tcp(addr) };
    behind::shared_connections(&site);
    behind::check(&site);
}
