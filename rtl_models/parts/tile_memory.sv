// A simple dual-port memory: one write and one read port, the read registered, as block RAM and UltraRAM have.
module tile_memory #(
    parameter int DEPTH = 1024,
    parameter int WIDTH = 72,
    parameter int AW = 10,
    parameter int ULTRA = 0
) (
    input  logic             clk,
    input  logic             we,
    input  logic [AW-1:0]    waddr,
    input  logic [WIDTH-1:0] wdata,
    input  logic             re,
    input  logic [AW-1:0]    raddr,
    output logic [WIDTH-1:0] rdata
);
  generate
    if (ULTRA != 0) begin : g_ultra
      (* ram_style = "ultra" *) logic [WIDTH-1:0] words [0:DEPTH-1];
      always_ff @(posedge clk) begin
        if (we) words[waddr] <= wdata;
        if (re) rdata <= words[raddr];
      end
    end else begin : g_block
      (* ram_style = "block" *) logic [WIDTH-1:0] words [0:DEPTH-1];
      always_ff @(posedge clk) begin
        if (we) words[waddr] <= wdata;
        if (re) rdata <= words[raddr];
      end
    end
  endgenerate
endmodule
