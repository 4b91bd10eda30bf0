# Vivado: HLS kernel + processing system -> qsnn_NAME.bit, .hwh and .json (the stamp).
#
#   vivado -mode batch -source build.tcl [-tclargs IP_FOLDER OUTPUT_FOLDER]       (or: make)
#
# IP_FOLDER holds the exported kernel (default: ../../hls/qsnn_project), OUTPUT_FOLDER gets the result (default: here).
# Numbers come from config.json, the fingerprint from hls/include/hw_spec.hpp.
#
# NOT TESTED WITH VIVADO: written without access to the tool. A test runs this file in a plain Tcl interpreter with
# recorded Vivado commands and compares instances and addresses with the emulated board's hand-off file.

set here [file normalize [file dirname [info script]]]
set root [file normalize $here/../..]

# name, interface, base address, size
set address_map {
    axi_dma_0   S_AXI_LITE     0xA0000000  64K
    qsnn_0      s_axi_control  0xA0010000  64K
    axi_intc_0  s_axi          0xA0020000  64K
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
    name part board_part clock_mhz bus_bits activation_banks activation_bank_words dma_length_bits address_bits
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

# Both ends tested by nobody yet; other releases change IP versions and the names of their parameters.
if {![regexp {^(2023\.2|2024\.[12])} [version -short]]} {
    fail "this is Vivado [version -short]; use 2023.2, 2024.1 or 2024.2"
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
foreach source [glob $root/hls/include/*.hpp $root/hls/src/*] {
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

proc pin {name} {
    set found [get_bd_pins -quiet $name]
    if {[llength $found] != 1} {
        fail "[llength $found] pins match $name, one was expected: does the kernel's interface differ from hls/src/top.hpp?"
    }
    return $found
}

proc wire {from to} {
    connect_bd_net [pin $from] [pin $to]
}

proc bus {from to} {
    connect_bd_intf_net [get_bd_intf_pins $from] [get_bd_intf_pins $to]
}

# HP0, HP1 and HP3 reach three different ports of the DDR controller: frames, weights, and the little that program and
# log move. HP2 would share HP1's.
set system zynq_ultra_ps_e_0
ip xilinx.com:ip:zynq_ultra_ps_e $system
apply_bd_automation -rule xilinx.com:bd_rule:zynq_ultra_ps_e -config {apply_board_preset "1"} [get_bd_cells $system]
set_property -dict [list \
    CONFIG.PSU__USE__M_AXI_GP0 1 CONFIG.PSU__USE__M_AXI_GP1 0 CONFIG.PSU__USE__M_AXI_GP2 0 \
    CONFIG.PSU__MAXIGP0__DATA_WIDTH 128 \
    CONFIG.PSU__USE__S_AXI_GP2 1 CONFIG.PSU__SAXIGP2__DATA_WIDTH $bus_bits \
    CONFIG.PSU__USE__S_AXI_GP3 1 CONFIG.PSU__SAXIGP3__DATA_WIDTH $bus_bits \
    CONFIG.PSU__USE__S_AXI_GP5 1 CONFIG.PSU__SAXIGP5__DATA_WIDTH $bus_bits \
    CONFIG.PSU__USE__IRQ0 1 \
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
ip xilinx.com:ip:smartconnect frame_bus CONFIG.NUM_SI 2 CONFIG.NUM_MI 1
ip xilinx.com:ip:smartconnect weight_bus CONFIG.NUM_SI 1 CONFIG.NUM_MI 1
ip xilinx.com:ip:smartconnect program_bus CONFIG.NUM_SI 2 CONFIG.NUM_MI 1
create_bd_cell -type module -reference cycle_counter cycle_counter_0

# registers
bus $system/M_AXI_HPM0_FPD control_bus/S00_AXI
set port 0
foreach {instance interface base size} $address_map {
    bus control_bus/[format M%02d_AXI $port] $instance/$interface
    incr port
}

# memory
bus axi_dma_0/M_AXI_MM2S frame_bus/S00_AXI
bus axi_dma_0/M_AXI_S2MM frame_bus/S01_AXI
bus frame_bus/M00_AXI $system/S_AXI_HP0_FPD
bus qsnn_0/m_axi_gmem_weights weight_bus/S00_AXI
bus weight_bus/M00_AXI $system/S_AXI_HP1_FPD
bus qsnn_0/m_axi_gmem_program program_bus/S00_AXI
bus qsnn_0/m_axi_gmem_log program_bus/S01_AXI
bus program_bus/M00_AXI $system/S_AXI_HP3_FPD

# frames and results
bus axi_dma_0/M_AXIS_MM2S qsnn_0/frames
bus qsnn_0/results axi_dma_0/S_AXIS_S2MM

# activation memory: one URAM bank for each element of the partitioned array arguments
set bank_address_bits [expr {int(ceil(log($activation_bank_words) / log(2)))}]
for {set bank 0} {$bank < $activation_banks} {incr bank} {
    set cell activation_bank_$bank
    create_bd_cell -type module -reference activation_bank $cell
    set_property -dict [list CONFIG.WORDS $activation_bank_words CONFIG.WORD_BITS $bus_bits \
        CONFIG.ADDRESS_BITS $bank_address_bits] [get_bd_cells $cell]
    wire qsnn_0/activations_write_${bank}_address0 $cell/write_address
    wire qsnn_0/activations_write_${bank}_ce0 $cell/write_ce
    wire qsnn_0/activations_write_${bank}_we0 $cell/write_we
    wire qsnn_0/activations_write_${bank}_d0 $cell/write_data
    wire qsnn_0/activations_read_${bank}_address0 $cell/read_address
    wire qsnn_0/activations_read_${bank}_ce0 $cell/read_ce
    wire $cell/read_data qsnn_0/activations_read_${bank}_q0
}
# Vitis HLS may append _r to names that it takes for keywords.
wire cycle_counter_0/now qsnn_0/now*

# interrupts: in this order in the emulated board's hand-off file too
wire axi_dma_0/mm2s_introut xlconcat_0/In0
wire axi_dma_0/s2mm_introut xlconcat_0/In1
wire qsnn_0/interrupt xlconcat_0/In2
wire xlconcat_0/dout axi_intc_0/intr
wire axi_intc_0/irq $system/pl_ps_irq0

# clock and reset
wire $system/pl_resetn0 reset_0/ext_reset_in
set clocked {
    maxihpm0_fpd_aclk saxihp0_fpd_aclk saxihp1_fpd_aclk saxihp3_fpd_aclk
}
foreach clock $clocked {
    wire $system/pl_clk0 $system/$clock
}
foreach clock {
    reset_0/slowest_sync_clk qsnn_0/ap_clk cycle_counter_0/clk axi_intc_0/s_axi_aclk
    axi_dma_0/s_axi_lite_aclk axi_dma_0/m_axi_mm2s_aclk axi_dma_0/m_axi_s2mm_aclk
    control_bus/aclk frame_bus/aclk weight_bus/aclk program_bus/aclk
} {
    wire $system/pl_clk0 $clock
}
for {set bank 0} {$bank < $activation_banks} {incr bank} {
    wire $system/pl_clk0 activation_bank_$bank/clk
}
foreach reset {
    qsnn_0/ap_rst_n cycle_counter_0/resetn axi_intc_0/s_axi_aresetn axi_dma_0/axi_resetn
    control_bus/aresetn frame_bus/aresetn weight_bus/aresetn program_bus/aresetn
} {
    wire reset_0/peripheral_aresetn $reset
}

# addresses
foreach {instance interface base size} $address_map {
    assign_bd_address -offset $base -range $size -target_address_space [get_bd_addr_spaces $system/Data] \
        [get_bd_addr_segs $instance/$interface/Reg]
}
foreach {space port} {
    axi_dma_0/Data_MM2S HP0   axi_dma_0/Data_S2MM HP0   qsnn_0/Data_m_axi_gmem_weights HP1
    qsnn_0/Data_m_axi_gmem_program HP3   qsnn_0/Data_m_axi_gmem_log HP3
} {
    set group SAXIGP[expr {[string index $port 2] + 2}]
    foreach window {DDR_LOW DDR_HIGH} {
        assign_bd_address -target_address_space [get_bd_addr_spaces $space] \
            [get_bd_addr_segs $system/$group/${port}_$window]
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

file mkdir $output
file copy -force $project/$design.runs/impl_1/${design}_wrapper.bit $output/$design.bit
file copy -force $project/$design.gen/sources_1/bd/$design/hw_handoff/$design.hwh $output/$design.hwh

set stream [open $output/$design.json w]
puts $stream "{"
foreach {key value} [list fingerprint64 $fingerprint vivado [version -short] part $part board_part $board_part \
    clock_mhz $actual_mhz worst_slack_ns $slack_ns \
    bit_sha256 [lindex [exec sha256sum $output/$design.bit] 0]] {
    puts $stream "  \"$key\": \"$value\","
}
puts $stream "  \"hwh_sha256\": \"[lindex [exec sha256sum $output/$design.hwh] 0]\""
puts $stream "}"
close $stream
puts "build.tcl: wrote $output/$design.bit, .hwh and .json, fingerprint $fingerprint, slack $slack_ns ns"
