mod addresses;
mod bounds;
mod forwarding;
mod gate;
mod support;
mod tunnels;
mod windows;
