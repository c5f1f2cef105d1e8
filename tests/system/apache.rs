//! Behind Apache: `examples/apache`.

use std::fs;
use std::process::Command;

use crate::behind::{self, Site, Upstream};
use crate::example::Example;
use crate::program::{Program, free_address, make_certificate};

/// The modules of Debian's default and those that the example tells to enable.
const MODULES: [&str; 6] = ["mpm_event", "authz_core", "proxy", "proxy_http", "headers", "ssl"];

#[test]
#[ignore = "run by tests/system/run"]
fn over_a_unix_socket() {
    let builder = behind::builder();
    let path = builder.dir().join("http.sock");
    let (plain, secure) = (free_address(), free_address());
    let dir = builder.dir().to_owned();
    make_certificate(&dir);
    let dir_text = dir.display();
    let example = Example::read("apache/site.conf")
        .with("/run/site/http.sock", path.to_str().expect("UTF-8"))
        .with("*:80", &plain.to_string())
        .with("*:443", &secure.to_string())
        .with("/etc/ssl/certs/example.com.pem", &format!("{dir_text}/cert.pem"))
        .with("/etc/ssl/private/example.com.key", &format!("{dir_text}/key.pem"));
    let server = behind::start(builder, &example);
    example.write_to(&dir);
    let modules = MODULES
        .map(|name| format!("LoadModule {name}_module /usr/lib/apache2/modules/mod_{name}.so\n"))
        .concat();
    let main = format!(
        "{modules}ServerRoot {dir_text}\nServerName localhost\nPidFile {dir_text}/apache.pid\n\
         DefaultRuntimeDir {dir_text}\nErrorLog /dev/stderr\nUser www-data\nGroup www-data\n\
         Listen {plain}\nListen {secure}\nInclude {dir_text}/site.conf\n"
    );
    let main_path = dir.join("apache.conf");
    fs::write(&main_path, main).expect("the temporary directory is writable");
    let _proxy = Program::start(
        Command::new("apache2").args(["-D", "FOREGROUND", "-f"]).arg(&main_path),
        plain,
    );
    let site = Site { server: &server, plain, secure, upstream: Upstream::Unix(path) };
    behind::shared_connections(&site);
    behind::check(&site);
}
