// LANES sorters side by side: each keeps N of every M values, group g in lane g mod LANES.
// in: one value a lane and cycle. A group's result stands in the registers the cycle after its M-th value.
module top_n_sorter #(
    parameter int LANES = 4,
    parameter int N = 2,
    parameter int M = 8,
    parameter int W = 8,
    parameter int IXW = 3,
    parameter int SZ = 16
) (
    input  logic                          clk,
    input  logic                          rst,
    input  logic                          start,
    input  logic [SZ-1:0]                 groups,
    input  logic                          in_valid,
    output logic                          in_ready,
    input  logic [LANES*W-1:0]            in_data,
    input  logic                          out_ready,
    output logic [LANES-1:0]              out_valid,
    output logic [LANES*N*(W+IXW)-1:0]    out_data,
    output logic                          running,
    output logic                          advance,
    output logic [LANES-1:0]              active
);
  logic [SZ-1:0] groups_left;
  logic [IXW:0] beat;
  logic [LANES-1:0] taken, inserts;

  assign advance = (!running || in_valid) && (out_valid == 0 || out_ready);
  assign in_ready = running && advance;
  assign active = inserts;

  always_ff @(posedge clk) begin
    if (rst) begin
      running <= 0;
      groups_left <= 0;
      beat <= 0;
      out_valid <= 0;
    end else if (advance) begin
      out_valid <= 0;
      if (!running) begin
        if (start) begin
          running <= 1;
          groups_left <= groups;
          beat <= 0;
        end
      end else begin
        beat <= beat + 1;
        if (beat == M - 1) begin
          beat <= 0;
          out_valid <= taken;
          groups_left <= groups_left - LANES;
          if (groups_left <= LANES) running <= 0;
        end
      end
    end
  end

  genvar l;
  generate
    for (l = 0; l < LANES; l = l + 1) begin : g_lane
      assign taken[l] = running && l < groups_left;
      sorter_lane #(.N(N), .W(W), .IXW(IXW)) lane (
          .clk(clk), .rst(rst), .en(advance), .taken(taken[l]), .first(beat == 0), .beat(beat[IXW-1:0]),
          .value(in_data[l*W+:W]), .kept(out_data[l*N*(W+IXW)+:N*(W+IXW)]), .insert(inserts[l]));
    end
  endgenerate
endmodule
