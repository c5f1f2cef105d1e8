//! Error and access logs in gunicorn's formats.

#[cfg(test)]
pub mod testing;
