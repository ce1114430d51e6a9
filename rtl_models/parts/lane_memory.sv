// 2^AW words of W bits, one write and one read port, read in the same cycle: distributed RAM on an FPGA.
module lane_memory #(
    parameter int AW = 6,
    parameter int W = 8
) (
    input  logic          clk,
    input  logic          we,
    input  logic [AW-1:0] waddr,
    input  logic [W-1:0]  wdata,
    input  logic [AW-1:0] raddr,
    output logic [W-1:0]  rdata
);
  logic [W-1:0] words [0:(1<<AW)-1];

  always_ff @(posedge clk) begin
    if (we) words[waddr] <= wdata;
  end

  assign rdata = words[raddr];
endmodule
