# C simulation, C synthesis and IP export of the kernel:  make csynth
# (that is: vitis-run --mode hls --tcl csynth.tcl, or vitis_hls -f csynth.tcl)
#
# Releases: those of `accepted` below. Part and clock come from the overlay's config.json. Writes the IP below
# qsnn_project/solution/impl/ip, where overlays/kv260/build.tcl looks for it. Untested: see README.md.
set here [file dirname [file normalize [info script]]]
set config_file [file join $here .. overlays kv260 config.json]

proc fail {message} {
  puts "ERROR: csynth.tcl: $message"
  exit 1
}

# From the tool, or from the folder that its settings script names: not every way to start it has the command.
proc tool_version {} {
  set pattern {\d{4}\.\d+(\.\d+)?}
  if {![catch {version -short} answer] && [regexp $pattern $answer found]} {
    return $found
  }
  foreach variable {XILINX_HLS XILINX_VITIS} {
    if {[info exists ::env($variable)] && [regexp $pattern $::env($variable) found]} {
      return $found
    }
  }
  fail "cannot tell the version of Vitis HLS: no answer to `version`, none in XILINX_HLS or XILINX_VITIS;\
    source the tool's settings64.sh"
}
set tool_version [tool_version]
# The same as in overlays/kv260/build.tcl: kernel and bitstream come from one release.
set accepted {2022.2 2023.1 2023.2 2024.1 2024.2}
if {![regexp {^\d+\.\d+} $tool_version release] || $release ni $accepted} {
  fail "this is Vitis HLS $tool_version; use [join [lrange $accepted 0 end-1] {, }] or [lindex $accepted end]"
}

# One "key": value of a flat JSON file; values are a string or a number.
proc config_value {text key} {
  if {![regexp "\"$key\"\\s*:\\s*\"?(\[^\",\}\\s\]+)" $text match value]} {
    fail "config.json has no $key"
  }
  return $value
}
set channel [open $config_file]
set config [read $channel]
close $channel
set part [config_value $config part]
set clock_mhz [config_value $config clock_mhz]

cd $here
open_project -reset qsnn_project
set_top qsnn_top
set flags "-std=c++14 -I[file join $here include] -I[file join $here src]"
# A Verilog module in place of a function: its description names the module's files and the function's C model, which
# has the description's name and is not added a second time.
set boxes [lsort [glob [file join $here rtl *.json]]]
set boxed {}
# Paths in a description are relative to it; the tool takes them from its working directory, so it gets a copy with
# whole paths.
file mkdir [file join $here build]
foreach box $boxes {
  set channel [open $box]
  set text [read $channel]
  close $channel
  set folder [file dirname $box]
  foreach {match path} [regexp -all -inline -- {"([^"]+\.(?:v|cpp))"} $text] {
    set text [string map [list $match "\"[file normalize [file join $folder $path]]\""] $text]
  }
  foreach {match path} [regexp -all -inline -- {-I(\S*[^\s"])} $text] {
    set text [string map [list $match "-I[file normalize [file join $folder $path]]"] $text]
  }
  set copy [file join $here build [file tail $box]]
  set channel [open $copy w]
  puts -nonewline $channel $text
  close $channel
  add_files -blackbox $copy
  lappend boxed [file rootname [file tail $box]]
}
foreach source [lsort [glob [file join $here src *.cpp]]] {
  if {[file rootname [file tail $source]] ni $boxed} {
    add_files $source -cflags $flags
  }
}
add_files -tb test/vitis_testbench.cpp -cflags "$flags -I[file join $here test]"

open_solution -reset solution -flow_target vivado
set_part $part
create_clock -period [format %.3f [expr {1000.0 / $clock_mhz}]] -name default
set_clock_uncertainty 12%
# A region that is not canonical dataflow must not pass unseen; loops pipeline where the source says so, nowhere else.
config_dataflow -strict_mode warning
config_compile -pipeline_loops 0
csim_design
csynth_design
export_design -format ip_catalog -vendor xilinx.com -library hls -ipname qsnn_top -version 1.0 \
  -display_name "QSNN core" -description "Quantized spiking network core"
exit 0
