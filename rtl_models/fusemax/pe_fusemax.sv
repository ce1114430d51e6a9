// FuseMax element: one operation of the attention cascade a cycle, two wires in, both forwarded registered.
// op 1 QK: acc += left * above. 2 LM: maximum going down. 3 SUB: d = acc - above. 4 EXP: one of six macs,
// `stage` 0 to 5, of exp in 16-bit fixed point. 5 SLD: sum going down. 6 SLNV: sum of exp * left going down.
module pe_fusemax #(
    parameter int W = 8,
    parameter int ACC = 32,
    parameter int XW = 48,
    parameter int DEPTH = 2,
    parameter int SLOT = 4
) (
    input  logic                 clk,
    input  logic                 rst,
    input  logic                 en,
    input  logic        [2:0]    op,
    input  logic                 first,
    input  logic        [2:0]    stage,
    input  logic        [SLOT-1:0] slot,
    input  logic        [4:0]    shift,
    input  logic                 row_real,
    input  logic                 col_real,
    input  logic                 top_row,
    input  logic signed [W-1:0]  left,
    input  logic signed [XW-1:0] above,
    output logic signed [W-1:0]  right,
    output logic signed [XW-1:0] below_now,
    output logic signed [XW-1:0] below,
    output logic                 active
);
  logic [DEPTH*ACC-1:0] accs;
  logic signed [ACC-1:0] acc, kept, acc_next;
  logic signed [XW-1:0] s, s_next, wide, from_above;
  logic signed [XW+15:0] scaled;
  logic signed [W-1:0] query;
  logic signed [XW-1:0] whole, whole_next;
  logic [15:0] part, part_next;
  logic signed [XW-1:0] coefficient, horner;

  always_comb begin
    acc = accs[slot*ACC+:ACC];
    wide = acc;
    kept = acc;
    if (first) kept = 0;
    query = above[W-1:0];
    acc_next = kept + left * query;
    from_above = above;
    if (top_row) from_above = 0;
    case (stage)  // 2^f on [0, 1], degree 5, times 2^16: sim/arrays/exp_fixed.py
      3'd1: coefficient = 587;
      3'd2: coefficient = 3661;
      3'd3: coefficient = 15738;
      3'd4: coefficient = 45427;
      default: coefficient = 65536;
    endcase
    scaled = 0;
    if (s < 0) scaled = s * 23637;  // log2(e) * 2^14
    scaled = scaled >>> shift;
    horner = ((s * $signed({1'b0, part})) >>> 16) + coefficient;
    s_next = s;
    whole_next = whole;
    part_next = part;
    below_now = above;
    case (op)
      3'd2: if (row_real && (top_row || wide > above)) below_now = wide;
      3'd3: begin
        s_next = wide - above;
        below_now = above;
      end
      3'd4: begin
        if (stage == 0) begin
          whole_next = scaled >>> 16;
          part_next = scaled[15:0];
          s_next = 124;
        end else begin
          s_next = horner;
          if (stage == 5) begin
            s_next = 0;
            if (row_real && whole >= -17) s_next = horner >>> (-whole);
          end
        end
      end
      3'd5: below_now = from_above + s;
      3'd6: below_now = from_above + s * left;
      default: below_now = above;
    endcase
    active = op != 0 && row_real && col_real;
  end

  always_ff @(posedge clk) begin
    if (rst) begin
      accs <= 0;
      s <= 0;
      whole <= 0;
      part <= 0;
      right <= 0;
      below <= 0;
    end else if (en && op != 0) begin
      right <= left;
      below <= below_now;
      s <= s_next;
      whole <= whole_next;
      part <= part_next;
      if (op == 1) accs[slot*ACC+:ACC] <= acc_next;
    end
  end
endmodule
