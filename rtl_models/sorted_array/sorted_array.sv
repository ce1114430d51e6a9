// N:M training as in SAT: dense columns of B pass the top-N sorter, and what it keeps feeds the N:M array.
// Streams: a, one slot of R groups of M values; in, C dense values of B a cycle, tile by tile, whole groups of M.
// A sorted group of each column waits in `held` for its N slots; the sorter works on the next one meanwhile.
module sorted_array #(
    parameter int R = 4,
    parameter int C = 4,
    parameter int N = 2,
    parameter int M = 8,
    parameter int W = 8,
    parameter int ACC = 32,
    parameter int IXW = 3,
    parameter int SZ = 16
) (
    input  logic             clk,
    input  logic             rst,
    input  logic             start,
    input  logic [1:0]       convention,
    input  logic [SZ-1:0]    m_size,
    input  logic [SZ-1:0]    n_size,
    input  logic [SZ-1:0]    slots,
    input  logic [SZ-1:0]    groups,
    input  logic             a_valid,
    output logic             a_ready,
    input  logic [R*M*W-1:0] a_data,
    input  logic             in_valid,
    output logic             in_ready,
    input  logic [C*W-1:0]   in_data,
    input  logic             out_ready,
    output logic [C-1:0]     out_valid,
    output logic [C*ACC-1:0] out_data,
    output logic             running,
    output logic             advance,
    output logic [R*C-1:0]   active
);
  localparam int KW = W + IXW;  // a kept {index, value}

  logic [C-1:0] sorted, inserts;
  logic [C*N*KW-1:0] kept, held;
  logic [C*KW-1:0] b_data;
  logic sorter_ready, sorter_running, sorter_moves, b_ready, slot_last;
  logic [IXW:0] left;  // slots that `held` still has

  assign sorter_ready = left == 0 || (left == 1 && b_ready);
  assign a_ready = b_ready;

  top_n_sorter #(.LANES(C), .N(N), .M(M), .W(W), .IXW(IXW), .SZ(SZ)) sorter (
      .clk(clk), .rst(rst), .start(start), .groups(groups), .in_valid(in_valid), .in_ready(in_ready),
      .in_data(in_data), .out_ready(sorter_ready), .out_valid(sorted), .out_data(kept),
      .running(sorter_running), .advance(sorter_moves), .active(inserts));

  always_ff @(posedge clk) begin
    if (rst) begin
      left <= 0;
      held <= 0;
    end else if (sorted != 0 && sorter_moves) begin
      left <= N;
      held <= kept;
    end else if (b_ready) begin
      left <= left - 1;
      held <= held >> KW;  // every column's next slot; the last column's top shifts in zeros
    end
  end

  always_comb
    for (int c = 0; c < C; c = c + 1) b_data[c*KW+:KW] = held[c*N*KW+:KW];

  systolic_os #(.R(R), .C(C), .W(W), .ACC(ACC), .G(M), .IXW(IXW), .SZ(SZ)) array (
      .clk(clk), .rst(rst), .start(start), .convention(convention), .m_size(m_size), .n_size(n_size),
      .slots(slots), .tile_ready(1'b1), .a_valid(a_valid), .a_ready(b_ready), .a_data(a_data),
      .b_valid(left != 0), .b_ready(), .b_data(b_data), .out_ready(out_ready), .out_valid(out_valid),
      .out_data(out_data), .running(running), .advance(advance), .slot_last(slot_last), .active(active));
endmodule
