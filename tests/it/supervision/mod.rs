//! Never down, nothing lost: crashes, stuck requests, reloads and stops, with and without load.

mod causes;
mod chaos;
mod crashes;
mod everything;
mod first_process;
mod forks;
mod mechanics;
mod pid_file;
mod preload;
mod recycling;
mod reloads;
mod timeouts;
mod under_load;
mod upgrade;
