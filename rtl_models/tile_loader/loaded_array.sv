// The output-stationary array behind its tile loader: a GEMM fed by one port of one word a cycle.
module loaded_array #(
    parameter int R = 4,
    parameter int C = 4,
    parameter int W = 8,
    parameter int ACC = 32,
    parameter int DEPTH = 32,
    parameter int SZ = 16
) (
    input  logic             clk,
    input  logic             rst,
    input  logic             start,
    input  logic [1:0]       convention,
    input  logic [SZ-1:0]    m_size,
    input  logic [SZ-1:0]    n_size,
    input  logic [SZ-1:0]    slots,
    input  logic             word_valid,
    output logic             word_ready,
    input  logic [W-1:0]     word_data,
    output logic [C-1:0]     out_valid,
    output logic [C*ACC-1:0] out_data,
    output logic             running,
    output logic             advance,
    output logic [R*C-1:0]   active
);
  logic loaded, a_ready, b_ready, slot_last;
  logic [R*W-1:0] a_slot;
  logic [C*W-1:0] b_slot;
  logic [C*(W+1)-1:0] b_words;

  tile_loader #(.R(R), .C(C), .W(W), .DEPTH(DEPTH), .SZ(SZ)) loader (
      .clk(clk), .rst(rst), .start(start && !running), .m_size(m_size), .n_size(n_size), .slots(slots),
      .word_valid(word_valid), .word_ready(word_ready), .word_data(word_data), .slot_taken(a_ready),
      .slot_last(slot_last), .loaded(loaded), .a_slot(a_slot), .b_slot(b_slot));

  always_comb
    for (int c = 0; c < C; c = c + 1) b_words[c*(W+1)+:W+1] = {1'b0, b_slot[c*W+:W]};

  systolic_os #(.R(R), .C(C), .W(W), .ACC(ACC), .G(1), .IXW(1), .SZ(SZ)) array (
      .clk(clk), .rst(rst), .start(start), .convention(convention), .m_size(m_size), .n_size(n_size),
      .slots(slots), .tile_ready(loaded), .a_valid(1'b1), .a_ready(a_ready), .a_data(a_slot),
      .b_valid(1'b1), .b_ready(b_ready), .b_data(b_words), .out_ready(1'b1), .out_valid(out_valid),
      .out_data(out_data), .running(running), .advance(advance), .slot_last(slot_last), .active(active));
endmodule
