// A word delayed by DEPTH enabled cycles; DEPTH 0 is a wire.
module delay_line #(
    parameter int DEPTH = 1,
    parameter int WIDTH = 8
) (
    input  logic             clk,
    input  logic             rst,
    input  logic             en,
    input  logic [WIDTH-1:0] d,
    output logic [WIDTH-1:0] q
);
  generate
    if (DEPTH == 0) begin : g_wire
      assign q = d;
    end else begin : g_line
      logic [DEPTH*WIDTH-1:0] line;
      always_ff @(posedge clk) begin
        if (rst) line <= '0;
        else if (en) begin
          line[WIDTH-1:0] <= d;
          for (int i = 1; i < DEPTH; i = i + 1) line[i*WIDTH+:WIDTH] <= line[(i-1)*WIDTH+:WIDTH];
        end
      end
      assign q = line[(DEPTH-1)*WIDTH+:WIDTH];
    end
  endgenerate
endmodule
