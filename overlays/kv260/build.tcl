# Vivado: HLS kernel + processing system -> qsnn_NAME.bit, .hwh and .json (the stamp).
#
#   vivado -mode batch -source build.tcl [-tclargs IP_FOLDER OUTPUT_FOLDER]       (or: make)
#
# IP_FOLDER holds the exported kernel (default: ../../hls/qsnn_project), OUTPUT_FOLDER gets the result (default: here).
# Numbers come from config.json, the fingerprint from hls/include/hw_spec.hpp. docs/overlay.md draws the design.
#
# NEVER RUN IN VIVADO: written without access to the tool. Tests run this file in a plain Tcl interpreter with recorded
# Vivado commands and compare every cell, connection, address, clock and reset with the emulated board's tables
# (pynq_qsnn/emulator/design.py). Timing, routing and power are unproven.

set here [file normalize [file dirname [info script]]]
set root [file normalize $here/../..]

# name, interface, its memory map (not always spelled like it), base address, size
set address_map {
    axi_dma_0   S_AXI_LITE     S_AXI_LITE     0xA0000000  64K
    qsnn_0      s_axi_control  s_axi_control  0xA0010000  64K
    axi_intc_0  s_axi          S_AXI          0xA0020000  64K
}

# SmartConnect, n of the port S_AXI_HPn_FPD, masters
set memory_paths {
    even_bus  1  {qsnn_0/m_axi_gmem_weights_even}
    odd_bus   3  {qsnn_0/m_axi_gmem_weights_odd}
    data_bus  0  {axi_dma_0/M_AXI_MM2S  axi_dma_0/M_AXI_S2MM
                  qsnn_0/m_axi_gmem_spill  qsnn_0/m_axi_gmem_program  qsnn_0/m_axi_gmem_log}
}

# ---------------------------------------------------------------- settings

proc fail {message} {
    error "build.tcl: $message"
}

proc read_text {path} {
    if {![file exists $path]} {
        fail "$path is missing"
    }
    set stream [open $path]
    set text [read $stream]
    close $stream
    return $text
}

# One string or number of a flat JSON object.
proc json_value {text key} {
    if {![regexp "\"$key\"\\s*:\\s*\"?(\[^\",\\s\}\]+)" $text -> value]} {
        fail "config.json has no $key"
    }
    return $value
}

proc argument {index default} {
    global argv
    return [expr {[llength $argv] > $index ? [lindex $argv $index] : $default}]
}

set config [read_text $here/config.json]
foreach key {
    name part board_part clock_mhz bus_bits activation_banks activation_bank_words weight_ring_beats
    dma_length_bits address_bits
} {
    set $key [json_value $config $key]
}
if {![regexp {kFingerprint = 0x([0-9A-F]{16})ULL} [read_text $root/hls/include/hw_spec.hpp] -> fingerprint]} {
    fail "no kFingerprint in hls/include/hw_spec.hpp; run python -m pynq_qsnn.hwspec --write"
}
set design qsnn_$name
set ip_folder [file normalize [argument 0 $root/hls/qsnn_project]]
set output [file normalize [argument 1 $here]]
set project $here/build

# Older and newer releases change IP versions and the names of their parameters.
set accepted {2022.2 2023.1 2023.2 2024.1 2024.2}
if {![regexp {^\d+\.\d+} [version -short] release] || $release ni $accepted} {
    fail "this is Vivado [version -short]; use [join [lrange $accepted 0 end-1] {, }] or [lindex $accepted end]"
}
if {[llength [get_parts -quiet $part]] == 0} {
    fail "Vivado does not know the part $part; install the Zynq UltraScale+ device family"
}
if {[llength [get_board_parts -quiet $board_part]] == 0} {
    fail "Vivado does not know the board $board_part; xhub::refresh_catalog, then xhub::install the KV260 SOM board files"
}

# ---------------------------------------------------------------- project

file delete -force $project
create_project $design $project -part $part
set_property board_part $board_part [current_project]
set_property ip_repo_paths $ip_folder [current_project]
update_ip_catalog
add_files [glob $here/rtl/*.v]
update_compile_order -fileset sources_1

set kernel_vlnv xilinx.com:hls:qsnn_top:1.0
set kernel_definition [get_ipdefs -quiet $kernel_vlnv]
if {[llength $kernel_definition] == 0} {
    fail "no IP $kernel_vlnv in $ip_folder; run make -C hls csynth first, or give the folder: -tclargs FOLDER"
}
set kernel_file [get_property XML_FILE_NAME $kernel_definition]
# hls/rtl: the multiplier row's Verilog. Vitis HLS copies it into the exported kernel, it is not added here.
foreach source [glob -nocomplain $root/hls/include/*.hpp $root/hls/src/* $root/hls/rtl/*.v $root/hls/rtl/*.json] {
    if {[file mtime $source] > [file mtime $kernel_file]} {
        fail "$source is newer than the exported kernel $kernel_file; run make -C hls csynth again"
    }
}

# ---------------------------------------------------------------- block design

create_bd_design $design

proc ip {vlnv name args} {
    set cell [create_bd_cell -type ip -vlnv $vlnv $name]
    if {[llength $args]} {
        set_property -dict $args $cell
    }
    return $cell
}

# The one object that a query finds. kind: get_bd_pins, get_bd_intf_pins, get_bd_addr_spaces, get_bd_addr_segs.
proc one {kind name} {
    set found [$kind -quiet $name]
    if {[llength $found] != 1} {
        fail "[llength $found] objects match $kind $name, one was expected: does the kernel's interface differ from\
            hls/src/top.hpp?"
    }
    return $found
}

proc wire {from to} {
    connect_bd_net [one get_bd_pins $from] [one get_bd_pins $to]
}

# Bits of a pin: a scalar has no LEFT.
proc width {name} {
    set left [get_property LEFT [one get_bd_pins $name]]
    return [expr {$left eq "" ? 1 : $left - [get_property RIGHT [one get_bd_pins $name]] + 1}]
}

# Vivado only warns of unequal widths and cuts, so byte enables or byte addresses of the kernel would pass unseen.
proc wire_of_width {bits from to} {
    foreach end [list $from $to] {
        if {[width $end] != $bits} {
            fail "pin $end has [width $end] bits, $bits were expected: does the kernel's interface differ from\
                hls/src/top.hpp?"
        }
    }
    wire $from $to
}

proc bus {from to} {
    connect_bd_intf_net [one get_bd_intf_pins $from] [one get_bd_intf_pins $to]
}

# HP1, HP3 and HP0 reach three different ports of the DDR controller; HP2 would share HP1's (UG1085, "PL-PS Interface
# Specifics"). The planes of the weight memory take HP1 and HP3. HP0, whose port the DisplayPort shares, takes the rest:
# the kernel runs one instruction at a time, so frames are not read while spilled tensors are.
set system zynq_ultra_ps_e_0
ip xilinx.com:ip:zynq_ultra_ps_e $system
apply_bd_automation -rule xilinx.com:bd_rule:zynq_ultra_ps_e -config {apply_board_preset "1"} [get_bd_cells $system]
set_property -dict [list \
    CONFIG.PSU__USE__M_AXI_GP0 1 CONFIG.PSU__USE__M_AXI_GP1 0 CONFIG.PSU__USE__M_AXI_GP2 0 \
    CONFIG.PSU__MAXIGP0__DATA_WIDTH 128 \
    CONFIG.PSU__USE__S_AXI_GP2 1 CONFIG.PSU__SAXIGP2__DATA_WIDTH $bus_bits \
    CONFIG.PSU__USE__S_AXI_GP3 1 CONFIG.PSU__SAXIGP3__DATA_WIDTH $bus_bits \
    CONFIG.PSU__USE__S_AXI_GP5 1 CONFIG.PSU__SAXIGP5__DATA_WIDTH $bus_bits \
    CONFIG.PSU__USE__IRQ0 1 CONFIG.PSU__USE__FABRIC__RST 1 CONFIG.PSU__NUM_FABRIC_RESETS 1 \
    CONFIG.PSU__FPGA_PL0_ENABLE 1 CONFIG.PSU__FPGA_PL1_ENABLE 0 \
    CONFIG.PSU__FPGA_PL2_ENABLE 0 CONFIG.PSU__FPGA_PL3_ENABLE 0 \
    CONFIG.PSU__CRL_APB__PL0_REF_CTRL__SRCSEL IOPLL \
    CONFIG.PSU__CRL_APB__PL0_REF_CTRL__FREQMHZ $clock_mhz \
] [get_bd_cells $system]
set actual_mhz [get_property CONFIG.PSU__CRL_APB__PL0_REF_CTRL__ACT_FREQMHZ [get_bd_cells $system]]
if {abs($actual_mhz - $clock_mhz) > 0.001 * $clock_mhz} {
    fail "the IOPLL gives $actual_mhz MHz for clock_mhz = $clock_mhz; choose 100, 125, 150, 187.5, 250 or 300"
}

ip xilinx.com:ip:proc_sys_reset reset_0
ip $kernel_vlnv qsnn_0
ip xilinx.com:ip:axi_dma axi_dma_0 \
    CONFIG.c_include_sg 0 CONFIG.c_micro_dma 0 \
    CONFIG.c_sg_length_width $dma_length_bits CONFIG.c_addr_width $address_bits \
    CONFIG.c_include_mm2s 1 CONFIG.c_include_mm2s_dre 0 CONFIG.c_mm2s_burst_size 64 \
    CONFIG.c_m_axi_mm2s_data_width $bus_bits CONFIG.c_m_axis_mm2s_tdata_width $bus_bits \
    CONFIG.c_include_s2mm 1 CONFIG.c_include_s2mm_dre 0 CONFIG.c_s2mm_burst_size 16 \
    CONFIG.c_m_axi_s2mm_data_width $bus_bits
ip xilinx.com:ip:axi_intc axi_intc_0 CONFIG.C_IRQ_CONNECTION 1
ip xilinx.com:ip:xlconcat xlconcat_0 CONFIG.NUM_PORTS 3
ip xilinx.com:ip:smartconnect control_bus CONFIG.NUM_SI 1 CONFIG.NUM_MI 3
set buses control_bus
foreach {bus port masters} $memory_paths {
    ip xilinx.com:ip:smartconnect $bus CONFIG.NUM_SI [llength $masters] CONFIG.NUM_MI 1
    lappend buses $bus
}
create_bd_cell -type module -reference cycle_counter cycle_counter_0

# registers
bus $system/M_AXI_HPM0_FPD control_bus/S00_AXI
set port 0
foreach {instance interface map base size} $address_map {
    bus control_bus/[format M%02d_AXI $port] $instance/$interface
    incr port
}

# memory
foreach {bus port masters} $memory_paths {
    set slot 0
    foreach master $masters {
        bus $master $bus/[format S%02d_AXI $slot]
        incr slot
    }
    bus $bus/M00_AXI $system/S_AXI_HP${port}_FPD
}

# frames and results
bus axi_dma_0/M_AXIS_MM2S qsnn_0/frames
bus qsnn_0/results axi_dma_0/S_AXIS_S2MM

# Memories outside the kernel: for each a write port and a read port of array arguments. From 2024.1 on the tools show
# such a port as one grouped interface (UG1399); its pins keep their names and are wired one by one all the same.
proc outer_memory {cell module kernel_write kernel_read words word_bits} {
    set address_bits [expr {int(ceil(log($words) / log(2)))}]
    create_bd_cell -type module -reference $module $cell
    set_property -dict [list CONFIG.WORDS $words CONFIG.WORD_BITS $word_bits CONFIG.ADDRESS_BITS $address_bits] \
        [get_bd_cells $cell]
    wire_of_width $address_bits qsnn_0/${kernel_write}_address0 $cell/write_address
    wire_of_width 1 qsnn_0/${kernel_write}_ce0 $cell/write_ce
    wire_of_width 1 qsnn_0/${kernel_write}_we0 $cell/write_we
    wire_of_width $word_bits qsnn_0/${kernel_write}_d0 $cell/write_data
    wire_of_width $address_bits qsnn_0/${kernel_read}_address0 $cell/read_address
    wire_of_width 1 qsnn_0/${kernel_read}_ce0 $cell/read_ce
    wire_of_width $word_bits $cell/read_data qsnn_0/${kernel_read}_q0
}

set memories {}
for {set bank 0} {$bank < $activation_banks} {incr bank} {
    outer_memory activation_bank_$bank activation_bank activations_write_$bank activations_read_$bank \
        $activation_bank_words $bus_bits
    lappend memories activation_bank_$bank
}
outer_memory weight_ring_0 weight_ring ring_write ring_read $weight_ring_beats [expr {4 * $bus_bits}]
lappend memories weight_ring_0

# Vitis HLS appends _r to names that it takes for keywords.
wire_of_width 64 cycle_counter_0/now qsnn_0/now*

# interrupts: in this order in the emulated board's hand-off file too
wire axi_dma_0/mm2s_introut xlconcat_0/In0
wire axi_dma_0/s2mm_introut xlconcat_0/In1
wire qsnn_0/interrupt xlconcat_0/In2
wire xlconcat_0/dout axi_intc_0/intr
wire axi_intc_0/irq $system/pl_ps_irq0

# clock and reset
wire $system/pl_resetn0 reset_0/ext_reset_in
set clocked [list $system/maxihpm0_fpd_aclk reset_0/slowest_sync_clk qsnn_0/ap_clk cycle_counter_0/clk \
    axi_intc_0/s_axi_aclk axi_dma_0/s_axi_lite_aclk axi_dma_0/m_axi_mm2s_aclk axi_dma_0/m_axi_s2mm_aclk]
foreach {bus port masters} $memory_paths {
    lappend clocked $system/saxihp${port}_fpd_aclk
}
foreach bus $buses {
    lappend clocked $bus/aclk
}
foreach cell $memories {
    lappend clocked $cell/clk
}
foreach pin $clocked {
    wire $system/pl_clk0 $pin
}
set resets {qsnn_0/ap_rst_n cycle_counter_0/resetn axi_intc_0/s_axi_aresetn axi_dma_0/axi_resetn}
foreach bus $buses {
    lappend resets $bus/aresetn
}
foreach pin $resets {
    wire reset_0/peripheral_aresetn $pin
}

# addresses: of the registers, and for every master both windows of the DDR and nothing else
foreach {instance interface map base size} $address_map {
    assign_bd_address -offset $base -range $size -target_address_space [one get_bd_addr_spaces $system/Data] \
        [one get_bd_addr_segs $instance/$map/Reg]
}
foreach {bus port masters} $memory_paths {
    foreach master $masters {
        # axi_dma_0/M_AXI_MM2S owns the space axi_dma_0/Data_MM2S, a kernel's m_axi_NAME the space Data_m_axi_NAME
        set space [string map {/M_AXI_ /Data_ /m_axi_ /Data_m_axi_} $master]
        foreach window {DDR_LOW DDR_HIGH} {
            assign_bd_address -target_address_space [one get_bd_addr_spaces $space] \
                [one get_bd_addr_segs $system/SAXIGP[expr {$port + 2}]/HP${port}_$window]
        }
        foreach window {LPS_OCM QSPI} {
            exclude_bd_addr_seg -target_address_space [one get_bd_addr_spaces $space] \
                [one get_bd_addr_segs $system/SAXIGP[expr {$port + 2}]/HP${port}_$window]
        }
    }
}

validate_bd_design
save_bd_design
set bd_file [get_files $design.bd]
generate_target all $bd_file
add_files -norecurse [make_wrapper -files $bd_file -top]
set_property top ${design}_wrapper [current_fileset]

# ---------------------------------------------------------------- bitstream

# The stamp inside the bitstream: the low half of the fingerprint.
set constraints $project/stamp.xdc
set stream [open $constraints w]
puts $stream "set_property BITSTREAM.CONFIG.USR_ACCESS 0x[string range $fingerprint 8 15] \[current_design\]"
puts $stream "set_property BITSTREAM.GENERAL.COMPRESS TRUE \[current_design\]"
close $stream
add_files -fileset constrs_1 $constraints

set_property strategy Performance_ExplorePostRoutePhysOpt [get_runs impl_1]
launch_runs impl_1 -to_step write_bitstream -jobs 4
wait_on_run impl_1
if {[get_property PROGRESS [get_runs impl_1]] ne "100%"} {
    fail "implementation stopped: [get_property STATUS [get_runs impl_1]]; see $project/$design.runs"
}
set slack_ns [get_property STATS.WNS [get_runs impl_1]]
if {$slack_ns < 0} {
    fail "timing is not met at $clock_mhz MHz: worst slack $slack_ns ns; lower clock_mhz in config.json"
}

# All or nothing: everything is made in the project's folder, then moved.
set result $project/result
file mkdir $result $output
file copy -force $project/$design.runs/impl_1/${design}_wrapper.bit $result/$design.bit
file copy -force $project/$design.gen/sources_1/bd/$design/hw_handoff/$design.hwh $result/$design.hwh

set stream [open $result/$design.json w]
puts $stream "{"
foreach {key value} [list fingerprint64 $fingerprint vivado [version -short] part $part board_part $board_part \
    clock_mhz $actual_mhz worst_slack_ns $slack_ns \
    bit_sha256 [lindex [exec sha256sum $result/$design.bit] 0]] {
    puts $stream "  \"$key\": \"$value\","
}
puts $stream "  \"hwh_sha256\": \"[lindex [exec sha256sum $result/$design.hwh] 0]\""
puts $stream "}"
close $stream
foreach suffix {bit hwh json} {
    file rename -force $result/$design.$suffix $output/$design.$suffix
}
puts "build.tcl: wrote $output/$design.bit, .hwh and .json, fingerprint $fingerprint, slack $slack_ns ns"
