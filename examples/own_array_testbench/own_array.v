// A 6 x 10 matrix engine in another style than einsim's: Verilog 2001, active-low reset, AXI-stream names,
// operands without skew (every element sees its row's and column's operand in the same cycle), one result
// row a beat. One tile: s_axis brings {10 values of B, 6 values of A} a beat, s_axis_tlast ends it; then
// m_axis brings 6 beats of 10 sums.
module own_array (
    input  wire            aclk,
    input  wire            aresetn,
    input  wire            s_axis_tvalid,
    output wire            s_axis_tready,
    input  wire [127:0]    s_axis_tdata,
    input  wire            s_axis_tlast,
    output wire            m_axis_tvalid,
    input  wire            m_axis_tready,
    output wire [10*32-1:0] m_axis_tdata
);
  reg signed [31:0] acc [0:59];
  reg [2:0] row;
  reg draining;
  integer i, j;

  assign s_axis_tready = !draining;
  assign m_axis_tvalid = draining;

  always @(posedge aclk) begin
    if (!aresetn) begin
      draining <= 0;
      row <= 0;
      for (i = 0; i < 60; i = i + 1) acc[i] <= 0;
    end else if (s_axis_tvalid && s_axis_tready) begin
      for (i = 0; i < 6; i = i + 1)
        for (j = 0; j < 10; j = j + 1)
          acc[i*10+j] <= acc[i*10+j] + $signed(s_axis_tdata[i*8 +: 8]) * $signed(s_axis_tdata[48+j*8 +: 8]);
      draining <= s_axis_tlast;
    end else if (m_axis_tvalid && m_axis_tready) begin
      row <= row + 1;
      if (row == 5) begin
        row <= 0;
        draining <= 0;
        for (i = 0; i < 60; i = i + 1) acc[i] <= 0;
      end
    end
  end

  genvar c;
  generate
    for (c = 0; c < 10; c = c + 1) begin : g_out
      assign m_axis_tdata[c*32 +: 32] = acc[row*10+c];
    end
  endgenerate
endmodule
