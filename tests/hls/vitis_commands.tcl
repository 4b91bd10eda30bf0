# Vitis HLS's commands as a recorder: each is printed. Arguments: csynth.tcl, the version to report (empty: none).
lassign $argv script vitis_version
proc version {option} {
    if {$::vitis_version eq ""} {error {invalid command name "version"}}
    return $::vitis_version
}
proc unknown {args} {
    puts $args
}
cd [file dirname [info nameofexecutable]]
source $script
