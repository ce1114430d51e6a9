// One slice of the chain: operand, product and cascade registers (AREG, BREG, MREG, PREG of a DSP48).
module dsp_slice #(
    parameter int W = 8,
    parameter int P = 48
) (
    input  logic                clk,
    input  logic                rst,
    input  logic                en,
    input  logic                real_in,
    input  logic signed [W-1:0] a_in,
    input  logic signed [W-1:0] b_in,
    input  logic signed [P-1:0] cascade_in,
    output logic signed [P-1:0] cascade_out,
    output logic                active
);
  logic signed [W-1:0] a, b;
  logic signed [2*W-1:0] product;

  always_ff @(posedge clk) begin
    if (rst) begin
      a <= 0;
      b <= 0;
      active <= 0;
      product <= 0;
      cascade_out <= 0;
    end else if (en) begin
      a <= a_in;
      b <= b_in;
      active <= real_in;
      product <= a * b;
      cascade_out <= cascade_in + product;
    end
  end
endmodule
