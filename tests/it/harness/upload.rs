//! A file as a browser sends it to the page `/upload` of the example sites.

const SIZE: usize = 10 * 1024 * 1024;
const SHA256: &str = "44f9296993796e201208c6c245b9515d36b62c87d0be4459ff347bfa054cd527";

/// The media type of [`body`].
pub const KIND: &str = "multipart/form-data; boundary=border";

/// 10 MiB of the bytes 0 to 250 over and over.
pub fn body() -> Vec<u8> {
    let mut body = b"--border\r\nContent-Disposition: form-data; name=\"file\"; \
        filename=\"data.bin\"\r\nContent-Type: application/octet-stream\r\n\r\n"
        .to_vec();
    body.extend((0..=250_u8).cycle().take(SIZE));
    body.extend_from_slice(b"\r\n--border--\r\n");
    body
}

/// What the page says of the file.
pub fn answer() -> String {
    format!("{SIZE} {SHA256}")
}
