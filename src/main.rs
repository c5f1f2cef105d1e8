//! The `rgunicorn` command.

fn main() {
    std::process::exit(rgunicorn::cli::main());
}
