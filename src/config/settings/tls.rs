//! Section "SSL".

macro_rules! tls {
    ($($chain:tt)*) => { settings! { $($chain)* Ssl {
        /// The file with the private key for TLS.
        keyfile: Option<String> = Text {
            flags: ["--keyfile"],
            metavar: "FILE",
            default: Value::None,
            reload: Workers,
            unbuilt: [],
        }

        /// The file with the certificate for TLS, followed by those between it and the root.
        certfile: Option<String> = Text {
            flags: ["--certfile"],
            metavar: "FILE",
            default: Value::None,
            reload: Workers,
            unbuilt: [],
        }

        /// Once the version of TLS. Without effect, as in gunicorn since 21; use `ssl_context`.
        ssl_version: Value = Anything {
            flags: ["--ssl-version"],
            metavar: "SSL_VERSION",
            default: 2,
            reload: Workers,
            notice: |config, _| (config.ssl_version != Value::Int(2)).then(|| {
                "Warning: option `ssl_version` is deprecated and it is ignored. Use ssl_context \
                 instead.".into()
            }),
        }

        /// Whether clients need a certificate: 0 no, 1 optional, 2 required.
        cert_reqs: u32 = Code {
            flags: ["--cert-reqs"],
            metavar: "INT",
            default: 0,
            reload: Workers,
            unbuilt: [],
        }

        /// The file with the authorities whose client certificates are accepted.
        ca_certs: Option<String> = Text {
            flags: ["--ca-certs"],
            metavar: "FILE",
            default: Value::None,
            reload: Workers,
            unbuilt: [],
        }

        /// Take a connection that ends without TLS's goodbye for one that ended properly.
        suppress_ragged_eofs: bool = Switch {
            flags: ["--suppress-ragged-eofs"],
            metavar: "",
            default: true,
            reload: Workers,
            unbuilt: [],
        }

        /// Do TLS's handshake right when a connection is accepted.
        do_handshake_on_connect: bool = Switch {
            flags: ["--do-handshake-on-connect"],
            metavar: "",
            default: false,
            reload: Workers,
            unbuilt: [],
        }

        /// The ciphers of TLS, as OpenSSL writes such a list.
        ciphers: Option<String> = Text {
            flags: ["--ciphers"],
            metavar: "CIPHERS",
            default: Value::None,
            reload: Workers,
            unbuilt: [],
        }
    } } };
}
pub(super) use tls;
